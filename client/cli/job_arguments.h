// What the command lines of `quern run` and `quern batch` have in common, understood with the server's description of
// the kind.
//
//     [OPTION ...] KIND [--PARAM VALUE | OPTION | INPUT ...]
//
// An OPTION is one that every job has (--priority), or the command's own (-o). Before KIND there are only those. After
// KIND, a name that is one of the kind's parameters is that parameter, and only otherwise an option: neither can
// hide the other, whatever parameters a kind has.
#pragma once

#include <boost/json/object.hpp>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "client/cli/kinds.h"
#include "common/error.h"
#include "ipc/wire.h"

namespace quern::cli {

struct JobArguments {
  std::string kind{};
  boost::json::object params{};
  std::vector<std::string> inputs{};
  wire::JobOptions options{};
  bool help = false;  // with an empty kind: of the command itself
};

// "--name", "--name=value" or "-n".
struct Option {
  std::string name;  // without its dashes
  std::optional<std::string> attached{};
  bool is_short = false;
};

// What was typed, word for word.
class Words {
 public:
  explicit Words(std::span<const std::string> words) noexcept : words_(words) {}
  [[nodiscard]] bool done() const noexcept { return at_ == words_.size(); }
  [[nodiscard]] const std::string& peek() const { return words_[at_]; }
  const std::string& take() { return words_[at_++]; }
  // The value of an option: attached to it, or the next word.
  Result<std::string> value_of(const Option& option);
  // The same as a whole number.
  Result<std::uint32_t> number_of(const Option& option);

 private:
  std::span<const std::string> words_;
  std::size_t at_ = 0;
};

// The options that only one command has.
struct OwnOptions {
  std::string command;             // "run"
  std::vector<std::string> names;  // long ones, for "did you mean"
  // Takes the option, with its value if it has one. False: there is none of this name.
  std::function<Result<bool>(const Option&, Words&)> take;
  // The kind that is meant when the command line begins with this word, which names none; nothing: it is a mistake.
  std::function<std::optional<std::string>(const std::string&)> kind_of_input{};
};

[[nodiscard]] Result<JobArguments> parse_job(const KindTable& kinds, Words words, const OwnOptions& own);

// A wrong command line.
[[nodiscard]] Error usage_error(std::string message, std::string field = {});

}  // namespace quern::cli
