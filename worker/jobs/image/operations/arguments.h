// One operation's checked parameters, and where they stand, for errors.
#pragma once

#include <boost/json/object.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "worker/jobs/image/picture.h"

namespace quern::image {

class Arguments {
 public:
  // `params` must live as long as this.
  Arguments(const boost::json::object& params, std::string path) : params_(params), path_(std::move(path)) {}

  [[nodiscard]] const boost::json::object& params() const { return params_; }
  // "operations[2]"
  [[nodiscard]] const std::string& path() const { return path_; }
  // "operations[2].left"; "left" where the path is empty
  [[nodiscard]] std::string path_of(std::string_view name) const;

  [[nodiscard]] bool has(std::string_view name) const noexcept;
  [[nodiscard]] std::string_view string(std::string_view name) const;
  [[nodiscard]] int integer(std::string_view name) const;
  [[nodiscard]] double number(std::string_view name) const;
  [[nodiscard]] bool boolean(std::string_view name) const;
  [[nodiscard]] std::vector<double> numbers(std::string_view name) const;
  [[nodiscard]] Color color(std::string_view name) const;
  [[nodiscard]] std::optional<Color> color_if(std::string_view name) const;

  // Throws kInvalidArgument: "operations[2].left " + message.
  [[noreturn]] void refuse(std::string_view name, std::string_view message) const;

 private:
  const boost::json::object& params_;
  std::string path_;
};

}  // namespace quern::image
