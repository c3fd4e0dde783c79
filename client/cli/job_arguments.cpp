#include "client/cli/job_arguments.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "client/cli/nearest.h"

namespace quern::cli {
namespace {

namespace json = boost::json;

Option split(std::string_view word) {
  if (!word.starts_with("--")) return {.name = std::string(word.substr(1)), .is_short = true};
  Option option{.name = std::string(word.substr(2))};
  if (const auto equals = option.name.find('='); equals != std::string::npos) {
    option.attached = option.name.substr(equals + 1);
    option.name.resize(equals);
  }
  return option;
}

class JobParser {
 public:
  JobParser(const KindTable& kinds, Words words, const OwnOptions& own) : kinds_(kinds), words_(words), own_(own) {}

  Result<JobArguments> parse() {
    if (auto parsed = before_kind(); !parsed) return parsed.error();
    if (job_.kind.empty()) return std::move(job_);
    if (auto parsed = after_kind(); !parsed) return parsed.error();
    return std::move(job_);
  }

 private:
  Result<void> before_kind();
  Result<void> take_kind(const std::string& word);
  Result<void> after_kind();
  Result<void> take_after_kind(std::string_view word);
  Result<void> take_parameter(const json::object& param, Option option);
  Result<void> set_parameter(const json::object& param, json::value value);
  Result<bool> take_option(const Option& option);
  Result<bool> take_number(const Option& option);
  Result<bool> take_retry_on(const Option& option);
  [[nodiscard]] Error unknown_option(const Option& option) const;

  const KindTable& kinds_;
  Words words_;
  const OwnOptions& own_;
  const json::object* kind_ = nullptr;
  JobArguments job_{};
};

Result<void> JobParser::before_kind() {
  while (!words_.done()) {
    const std::string& word = words_.take();
    if (word == "--help" || word == "-h") {
      job_.help = true;
      return {};
    }
    if (!word.starts_with("-")) {
      return take_kind(word);
    }
    const Option option = split(word);
    const auto taken = take_option(option);
    if (!taken) return taken.error();
    if (!*taken)
      return usage_error(fmt::format("{} is no job option; a kind's parameters follow the kind", word), option.name);
  }
  return usage_error("which kind of job? `quern kinds` lists them", "kind");
}

Result<void> JobParser::take_kind(const std::string& word) {
  job_.kind = word;
  kind_ = kinds_.find(word);
  if (kind_ == nullptr && own_.kind_of_input) {
    if (auto kind = own_.kind_of_input(word)) {
      job_.kind = std::move(*kind);
      job_.inputs.push_back(word);
      kind_ = kinds_.find(job_.kind);
    }
  }
  if (kind_ != nullptr) return {};
  return usage_error(fmt::format("this server has no kind '{}'{}{}", job_.kind,
                                 own_.kind_of_input && job_.kind == word ? ", and no such file is there" : "",
                                 did_you_mean(job_.kind, kinds_.names())),
                     "kind");
}

Result<void> JobParser::after_kind() {
  bool only_inputs = false;
  while (!words_.done()) {
    const std::string& word = words_.take();
    if (only_inputs || word == "-" || !word.starts_with("-")) {
      job_.inputs.push_back(word);
    } else if (word == "--") {
      only_inputs = true;
    } else if (word == "--help" || word == "-h") {
      job_.help = true;
    } else if (auto taken = take_after_kind(word); !taken) {
      return taken;
    }
  }
  return {};
}

// --width 320, --width=320, --flag, --no-flag, with `-` and `_` alike; or an option.
Result<void> JobParser::take_after_kind(std::string_view word) {
  Option option = split(word);
  std::string name = option.is_short ? "" : option.name;
  std::ranges::replace(name, '-', '_');
  if (const json::object* param = find_param(*kind_, name); param != nullptr) {
    return take_parameter(*param, std::move(option));
  }
  if (name.starts_with("no_") && !option.attached) {
    const json::object* negated = find_param(*kind_, std::string_view(name).substr(3));
    if (negated != nullptr && negated->at("type").as_string() == "boolean") return set_parameter(*negated, false);
  }
  const auto taken = take_option(option);
  if (!taken) return taken.error();
  return *taken ? Result<void>() : Result<void>(unknown_option(option));
}

Error JobParser::unknown_option(const Option& option) const {
  if (option.is_short) {
    return usage_error(fmt::format("there is no option -{}; parameters are written --name value", option.name));
  }
  std::vector<std::string> names = own_.names;
  for (const json::value& param : kind_->at("params").as_array()) {
    names.emplace_back(param.as_object().at("name").as_string());
  }
  std::string hint = did_you_mean(option.name, names, "--");
  if (hint.empty()) hint = fmt::format("; `quern {} {} --help` lists them", own_.command, job_.kind);
  return usage_error(fmt::format("{} has no parameter --{}{}", job_.kind, option.name, hint), option.name);
}

Result<void> JobParser::take_parameter(const json::object& param, Option option) {
  if (param.at("type").as_string() == "boolean" && !option.attached) {
    const bool spelled = !words_.done() && (words_.peek() == "true" || words_.peek() == "false");
    option.attached = spelled ? words_.take() : "true";
  }
  const auto text = words_.value_of(option);
  if (!text) return text.error();
  auto value = typed_value(param, *text);
  if (!value) return value.error();
  return set_parameter(param, std::move(*value));
}

Result<void> JobParser::set_parameter(const json::object& param, json::value value) {
  const std::string_view name = param.at("name").as_string();
  if (!job_.params.emplace(name, std::move(value)).second) {
    return usage_error(fmt::format("--{} is given twice", name), std::string(name));
  }
  return {};
}

// False when neither every job nor the command has it.
Result<bool> JobParser::take_option(const Option& option) {
  auto taken = own_.take(option, words_);
  if (!taken || *taken || option.is_short) return taken;
  if (option.name == "no-wait") return job_.options.no_wait = true;
  if (option.name == "retry-on") return take_retry_on(option);
  return take_number(option);
}

Result<bool> JobParser::take_number(const Option& option) {
  std::optional<std::uint32_t> priority;
  const std::pair<std::string_view, std::optional<std::uint32_t>*> numbers[] = {
      {"priority", &priority},
      {"attempts", &job_.options.attempts},
      {"queue-timeout-ms", &job_.options.queue_timeout_ms},
      {"run-timeout-ms", &job_.options.run_timeout_ms},
      {"deadline-ms", &job_.options.deadline_ms},
  };
  const auto* const known =
      std::ranges::find(numbers, option.name, &std::pair<std::string_view, std::optional<std::uint32_t>*>::first);
  if (known == std::end(numbers)) return false;
  const auto number = words_.number_of(option);
  if (!number) return number.error();
  *known->second = *number;
  if (priority) {
    if (*priority > wire::kPriorityMax) return usage_error("--priority must be between 0 and 9", option.name);
    job_.options.priority = static_cast<std::uint8_t>(*priority);
  }
  return true;
}

// "crash,run_timeout", or "none".
Result<bool> JobParser::take_retry_on(const Option& option) {
  const auto text = words_.value_of(option);
  if (!text) return text.error();
  RetryOn causes = RetryOn::kNothing;
  for (std::string_view rest = *text; !rest.empty() && *text != "none";) {
    const std::string_view word = rest.substr(0, rest.find(','));
    rest.remove_prefix(std::min(rest.size(), word.size() + 1));
    const auto* const known = std::ranges::find(kRetryOnWords, word);
    if (known == std::end(kRetryOnWords)) {
      return usage_error(fmt::format("--retry-on takes a list of crash, out_of_memory, run_timeout and "
                                     "sandbox_violation, or none (got '{}')",
                                     word),
                         "retry_on");
    }
    causes = causes | static_cast<RetryOn>(1U << (known - std::begin(kRetryOnWords)));
  }
  job_.options.retry_on = causes;
  return true;
}

}  // namespace

Error usage_error(std::string message, std::string field) {
  return Error{.code = ErrorCode::kInvalidArgument, .message = std::move(message), .field = std::move(field)};
}

Result<std::string> Words::value_of(const Option& option) {
  if (option.attached) return *option.attached;
  if (done())
    return usage_error(fmt::format("{}{} needs a value", option.is_short ? "-" : "--", option.name), option.name);
  return take();
}

Result<std::uint32_t> Words::number_of(const Option& option) {
  const auto text = value_of(option);
  if (!text) return text.error();
  std::uint32_t number = 0;
  const auto read = std::from_chars(text->data(), text->data() + text->size(), number);
  if (read.ec != std::errc{} || read.ptr != text->data() + text->size()) {
    return usage_error(fmt::format("--{} must be a whole number (got '{}')", option.name, *text), option.name);
  }
  return number;
}

Result<JobArguments> parse_job(const KindTable& kinds, Words words, const OwnOptions& own) {
  return JobParser(kinds, words, own).parse();
}

}  // namespace quern::cli
