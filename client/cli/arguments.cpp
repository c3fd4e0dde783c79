#include "client/cli/arguments.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>

#include "client/cli/nearest.h"

namespace quern::cli {
namespace {

namespace json = boost::json;

Error usage(std::string message, std::string field = {}) {
  return Error{.code = ErrorCode::kInvalidArgument, .message = std::move(message), .field = std::move(field)};
}

class RunParser {
 public:
  RunParser(const KindTable& kinds, const std::vector<std::string>& words) : kinds_(kinds), words_(words) {}

  Result<RunArguments> parse(bool piped) {
    if (auto parsed = before_kind(); !parsed) return parsed.error();
    if (run_.kind.empty()) return std::move(run_);
    if (auto parsed = after_kind(); !parsed) return parsed.error();
    if (auto complete = complete_inputs(piped); !complete) return complete.error();
    return std::move(run_);
  }

 private:
  // "--name" or "--name=value".
  struct Option {
    std::string name;
    std::optional<std::string> attached{};
  };
  static Option split(std::string_view word) {
    Option option{.name = std::string(word.substr(2))};
    if (const auto equals = option.name.find('='); equals != std::string::npos) {
      option.attached = option.name.substr(equals + 1);
      option.name.resize(equals);
    }
    return option;
  }

  [[nodiscard]] bool done() const { return at_ == words_.size(); }
  Result<std::string> value_of(Option& option) {
    if (option.attached) return std::move(*option.attached);
    if (done()) return usage(fmt::format("--{} needs a value", option.name), option.name);
    return words_[at_++];
  }

  Result<void> before_kind();
  Result<void> after_kind();
  Result<void> take_option(std::string_view word);
  Result<void> take_parameter(const json::object& param, Option option);
  Result<bool> take_job_option(Option& option);
  Result<bool> take_retry_on(Option& option);
  Result<void> set_parameter(const json::object& param, json::value value);
  Result<void> complete_inputs(bool piped);
  [[nodiscard]] Error unknown_option(const Option& option) const;

  const KindTable& kinds_;
  const std::vector<std::string>& words_;
  std::size_t at_ = 0;
  const json::object* kind_ = nullptr;
  RunArguments run_{};
};

Result<void> RunParser::before_kind() {
  while (!done() && kind_ == nullptr) {
    const std::string& word = words_[at_++];
    if (word == "--help" || word == "-h") {
      run_.help = true;
      return {};
    }
    if (!word.starts_with("-")) {
      kind_ = kinds_.find(word);
      if (kind_ == nullptr) {
        return usage(fmt::format("this server has no kind '{}'{}", word, did_you_mean(word, kinds_.names())), "kind");
      }
      run_.kind = word;
      return {};
    }
    Option option = word.starts_with("--") ? split(word) : Option{.name = word};
    const auto taken = take_job_option(option);
    if (!taken) return taken.error();
    if (!*taken)
      return usage(fmt::format("{} is no job option; a kind's parameters follow the kind", word), option.name);
  }
  return usage("which kind of job? `quern kinds` lists them", "kind");
}

Result<void> RunParser::after_kind() {
  bool only_inputs = false;
  while (!done()) {
    const std::string& word = words_[at_++];
    if (only_inputs || word == "-" || !word.starts_with("-")) {
      run_.inputs.push_back(word);
    } else if (word == "--") {
      only_inputs = true;
    } else if (word == "--help" || word == "-h") {
      run_.help = true;
    } else if (word == "-o") {
      if (done()) return usage("-o needs a file name, or -");
      run_.output = words_[at_++];
    } else if (word.starts_with("--")) {
      if (auto taken = take_option(word); !taken) return taken;
    } else {
      return usage(fmt::format("there is no option {}; parameters are written --name value", word));
    }
  }
  return {};
}

// --width 320, --width=320, --flag, --no-flag, with `-` and `_` alike; or a job option.
Result<void> RunParser::take_option(std::string_view word) {
  Option option = split(word);
  std::string name = option.name;
  std::ranges::replace(name, '-', '_');
  if (const json::object* param = find_param(*kind_, name); param != nullptr) {
    return take_parameter(*param, std::move(option));
  }
  if (name.starts_with("no_") && !option.attached) {
    const json::object* negated = find_param(*kind_, std::string_view(name).substr(3));
    if (negated != nullptr && negated->at("type").as_string() == "boolean") return set_parameter(*negated, false);
  }
  const auto taken = take_job_option(option);
  if (!taken) return taken.error();
  return *taken ? Result<void>() : Result<void>(unknown_option(option));
}

Error RunParser::unknown_option(const Option& option) const {
  std::vector<std::string> names;
  for (const json::value& param : kind_->at("params").as_array()) {
    names.emplace_back(param.as_object().at("name").as_string());
  }
  std::string hint = did_you_mean(option.name, names, "--");
  if (hint.empty()) hint = fmt::format("; `quern run {} --help` lists them", run_.kind);
  return usage(fmt::format("{} has no parameter --{}{}", run_.kind, option.name, hint), option.name);
}

Result<void> RunParser::take_parameter(const json::object& param, Option option) {
  if (param.at("type").as_string() == "boolean" && !option.attached) {
    const bool spelled = !done() && (words_[at_] == "true" || words_[at_] == "false");
    option.attached = spelled ? words_[at_++] : "true";
  }
  const auto text = value_of(option);
  if (!text) return text.error();
  auto value = typed_value(param, *text);
  if (!value) return value.error();
  return set_parameter(param, std::move(*value));
}

Result<void> RunParser::set_parameter(const json::object& param, json::value value) {
  const std::string_view name = param.at("name").as_string();
  if (!run_.params.emplace(name, std::move(value)).second) {
    return usage(fmt::format("--{} is given twice", name), std::string(name));
  }
  return {};
}

// False when it is none of the options that every job has.
Result<bool> RunParser::take_job_option(Option& option) {
  const std::string name = option.name;
  if (name == "no-wait") return run_.options.no_wait = true;
  if (name == "progress") return run_.progress = true;
  if (name == "output") {
    const auto output = value_of(option);
    if (!output) return output.error();
    run_.output = *output;
    return true;
  }
  if (name == "retry-on") return take_retry_on(option);
  std::optional<std::uint32_t> priority;
  const std::pair<std::string_view, std::optional<std::uint32_t>*> numbers[] = {
      {"priority", &priority},
      {"attempts", &run_.options.attempts},
      {"queue-timeout-ms", &run_.options.queue_timeout_ms},
      {"run-timeout-ms", &run_.options.run_timeout_ms},
      {"deadline-ms", &run_.options.deadline_ms},
  };
  const auto* const known =
      std::ranges::find(numbers, name, &std::pair<std::string_view, std::optional<std::uint32_t>*>::first);
  if (known == std::end(numbers)) return false;
  const auto text = value_of(option);
  if (!text) return text.error();
  std::uint32_t number = 0;
  const auto read = std::from_chars(text->data(), text->data() + text->size(), number);
  if (read.ec != std::errc{} || read.ptr != text->data() + text->size()) {
    return usage(fmt::format("--{} must be a whole number (got '{}')", name, *text), name);
  }
  *known->second = number;
  if (priority) {
    if (*priority > wire::kPriorityMax) return usage("--priority must be between 0 and 9", name);
    run_.options.priority = static_cast<std::uint8_t>(*priority);
  }
  return true;
}

// "crash,run_timeout", or "none".
Result<bool> RunParser::take_retry_on(Option& option) {
  const auto text = value_of(option);
  if (!text) return text.error();
  RetryOn causes = RetryOn::kNothing;
  for (std::string_view rest = *text; !rest.empty() && *text != "none";) {
    const std::string_view word = rest.substr(0, rest.find(','));
    rest.remove_prefix(std::min(rest.size(), word.size() + 1));
    const auto* const known = std::ranges::find(kRetryOnWords, word);
    if (known == std::end(kRetryOnWords)) {
      return usage(fmt::format("--retry-on takes a list of crash, out_of_memory, run_timeout and sandbox_violation, "
                               "or none (got '{}')",
                               word),
                   "retry_on");
    }
    causes = causes | static_cast<RetryOn>(1U << (known - std::begin(kRetryOnWords)));
  }
  run_.options.retry_on = causes;
  return true;
}

Result<void> RunParser::complete_inputs(bool piped) {
  const json::object& input = kind_->at("input").as_object();
  const auto parts_min = input.at("parts_min").to_number<std::uint64_t>();
  const auto parts_max = input.at("parts_max").to_number<std::uint64_t>();
  if (run_.inputs.size() > parts_max) {
    return usage(parts_max == 0
                     ? fmt::format("{} takes no input, but '{}' is given", run_.kind, run_.inputs.front())
                     : fmt::format("{} takes at most {} inputs, not {}", run_.kind, parts_max, run_.inputs.size()));
  }
  if (std::ranges::count(run_.inputs, "-") > 1) return usage("standard input can be read only once");
  if (run_.inputs.empty() && (parts_min > 0 || (parts_max > 0 && piped))) run_.inputs.emplace_back("-");
  return {};
}

}  // namespace

Result<RunArguments> parse_run(const KindTable& kinds, const std::vector<std::string>& words, bool piped) {
  return RunParser(kinds, words).parse(piped);
}

}  // namespace quern::cli
