// The server's kinds, as the command line needs them: to type parameters, to print help, to list.
#pragma once

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "common/error.h"

namespace quern::cli {

class KindTable {
 public:
  [[nodiscard]] static Result<KindTable> parse(std::string_view document);

  // Null when there is no such kind.
  [[nodiscard]] const boost::json::object* find(std::string_view kind) const;
  [[nodiscard]] std::vector<std::string> names() const;

  // Of lists whose objects have many shapes, only these' names; print_kind tells all.
  void print_list() const;
  static void print_kind(const boost::json::object& kind);

 private:
  boost::json::value document_;
};

// The parameter's description in a kind, or null.
[[nodiscard]] const boost::json::object* find_param(const boost::json::object& kind, std::string_view param);

// `text` from the command line as the JSON value its parameter's type wants.
[[nodiscard]] Result<boost::json::value> typed_value(const boost::json::object& param, std::string_view text);

}  // namespace quern::cli
