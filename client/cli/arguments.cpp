#include "client/cli/arguments.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace quern::cli {
namespace {

namespace json = boost::json;

Result<bool> take_own(const Option& option, Words& words, RunArguments& run) {
  if (take_progress_wish(option, run.progress)) return true;
  if (!option.is_short && option.name == "stream") return run.stream = true;
  if (!option.is_short && option.name == "shared") {
    auto name = words.value_of(option);
    if (!name) return name.error();
    run.shared.push_back(std::move(*name));
    return true;
  }
  if (option.is_short ? option.name != "o" : option.name != "output") return false;
  auto output = words.value_of(option);
  if (!output) return output.error();
  run.output = std::move(*output);
  return true;
}

Result<void> complete_inputs(RunArguments& run, const json::object& kind, bool piped) {
  const json::object& input = kind.at("input").as_object();
  const auto parts_min = input.at("parts_min").to_number<std::uint64_t>();
  const auto parts_max = input.at("parts_max").to_number<std::uint64_t>();
  if (run.inputs.size() > parts_max) {
    return usage_error(parts_max == 0
                           ? fmt::format("{} takes no input, but '{}' is given", run.kind, run.inputs.front())
                           : fmt::format("{} takes at most {} inputs, not {}", run.kind, parts_max, run.inputs.size()));
  }
  if (std::ranges::count(run.inputs, "-") > 1) return usage_error("standard input can be read only once");
  if (run.inputs.empty() && (parts_min > 0 || (parts_max > 0 && piped))) run.inputs.emplace_back("-");
  return {};
}

}  // namespace

bool take_progress_wish(const Option& option, ProgressWish& wish) {
  if (option.name == "progress") wish = ProgressWish::kAlways;
  if (option.name == "no-progress") wish = ProgressWish::kNever;
  return option.name == "progress" || option.name == "no-progress";
}

Result<RunArguments> parse_run(const KindTable& kinds, const std::vector<std::string>& words, bool piped) {
  RunArguments run;
  const OwnOptions own{.command = "run",
                       .names = {"output", "stream", "shared", "progress", "no-progress"},
                       .take = [&](const Option& option, Words& rest) { return take_own(option, rest, run); }};
  auto job = parse_job(kinds, Words(words), own);
  if (!job) return job.error();
  static_cast<JobArguments&>(run) = std::move(*job);
  if (run.kind.empty()) return run;
  if (run.stream && run.output != "-") {
    return usage_error("--stream writes to standard output; with -o FILE the worker writes there as it goes", "stream");
  }
  if (auto complete = complete_inputs(run, *kinds.find(run.kind), piped); !complete) return complete.error();
  return run;
}

}  // namespace quern::cli
