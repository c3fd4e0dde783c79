#include "client/cli/batch_arguments.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <optional>
#include <thread>
#include <utility>

#include "client/cli/arguments.h"
#include "client/cli/result_format.h"

namespace quern::cli {
namespace {

namespace json = boost::json;

// One that runs on every core, and one that is ready when it ends. More would only lie in the server's queue, and in
// memory.
std::uint32_t default_jobs() { return std::clamp(2 * std::thread::hardware_concurrency(), 2U, kBatchJobsMax); }

struct Flag {
  std::string_view name;
  std::string_view short_name;
  bool BatchArguments::*is_set;
};
constexpr Flag kFlags[] = {
    {"null", "0", &BatchArguments::null_separated},
    {"recursive", "r", &BatchArguments::recursive},
    {"skip-existing", "", &BatchArguments::skip_existing},
    {"fail-fast", "", &BatchArguments::fail_fast},
    {"json", "", &BatchArguments::json},
    {"verbose", "v", &BatchArguments::verbose},
};

Result<bool> take_text(const Option& option, Words& words, BatchArguments& batch) {
  constexpr auto kNames = std::to_array<std::string_view>({"to", "from", "also", "suffix"});
  if (option.is_short || std::ranges::find(kNames, option.name) == kNames.end()) return false;
  auto value = words.value_of(option);
  if (!value) return value.error();
  if (value->empty()) return usage_error(fmt::format("--{} needs a value", option.name), option.name);
  if (option.name == "to") batch.to = std::move(*value);
  if (option.name == "from") batch.from = std::move(*value);
  if (option.name == "also") batch.also.push_back(std::move(*value));
  if (option.name != "suffix") return true;
  if (value->find('/') != std::string::npos) return usage_error("--suffix is the end of a file's name", "suffix");
  batch.suffix = value->find('.') == std::string::npos ? "." + *value : std::move(*value);
  return true;
}

Result<bool> take_numbers(const Option& option, Words& words, BatchArguments& batch) {
  if (option.is_short || (option.name != "jobs" && option.name != "retry-for")) return false;
  const auto number = words.number_of(option);
  if (!number) return number.error();
  if (option.name == "retry-for") {
    batch.retry_for = std::chrono::seconds(*number);
    return true;
  }
  if (*number < 1 || *number > kBatchJobsMax) {
    return usage_error(fmt::format("--jobs must be between 1 and {}", kBatchJobsMax), "jobs");
  }
  batch.jobs = *number;
  return true;
}

Result<bool> take_own(const Option& option, Words& words, BatchArguments& batch) {
  if (take_progress_wish(option, batch.progress)) return true;
  for (const Flag& flag : kFlags) {
    if (option.attached || option.name != (option.is_short ? flag.short_name : flag.name)) continue;
    batch.*flag.is_set = true;
    return true;
  }
  const auto taken = take_text(option, words, batch);
  return !taken || *taken ? taken : take_numbers(option, words, batch);
}

// A kind's name has no such characters; what exists and is no kind is meant as a file.
std::optional<std::string> kind_of_input(const std::string& word) {
  std::error_code ignored;
  const bool names_files = word.find_first_of("/*?[") != std::string::npos || std::filesystem::exists(word, ignored);
  return names_files ? std::optional<std::string>(kDefaultBatchKind) : std::nullopt;
}

Result<void> check_parts(const BatchArguments& batch, const json::object& input) {
  const auto parts_min = input.at("parts_min").to_number<std::uint64_t>();
  const auto parts_max = input.at("parts_max").to_number<std::uint64_t>();
  if (parts_max == 0) {
    return usage_error(
        fmt::format("{} takes no input, so there is nothing to run it over; `quern run` runs it once", batch.kind));
  }
  const std::uint64_t parts = 1 + batch.also.size();
  if (parts < parts_min) {
    return usage_error(
        fmt::format("{} needs {} inputs a job: a file, and what --also FILE adds to each", batch.kind, parts_min),
        "also");
  }
  if (parts > parts_max) {
    return usage_error(
        fmt::format("{} takes at most {} inputs a job, and --also makes it {}", batch.kind, parts_max, parts), "also");
  }
  if (std::ranges::find(batch.also, "-") != batch.also.end()) return usage_error("--also takes a file", "also");
  return {};
}

Result<void> check(const BatchArguments& batch, const json::object& kind) {
  if (auto checked = check_parts(batch, kind.at("input").as_object()); !checked) return checked;
  if (batch.to.empty()) return usage_error("where shall the results go? --to DIR", "to");
  if (batch.inputs.empty() && !batch.from) return usage_error("which files? name them, or give --from FILE", "input");
  if (std::ranges::find(batch.inputs, "-") != batch.inputs.end()) {
    return usage_error("an input is a file; --from - reads files' names from standard input", "input");
  }
  if (!batch.suffix && chooses_format(batch.params) && !result_suffix(kind, batch.params)) {
    return usage_error("with --format auto nobody knows how outputs will end; name a format, or give --suffix",
                       "suffix");
  }
  return {};
}

}  // namespace

Result<BatchArguments> parse_batch(const KindTable& kinds, const std::vector<std::string>& words) {
  BatchArguments batch{};
  OwnOptions own{.command = "batch",
                 .names = {"to", "from", "also", "suffix", "jobs", "retry-for", "progress", "no-progress"},
                 .take = [&](const Option& option, Words& rest) { return take_own(option, rest, batch); },
                 .kind_of_input = kind_of_input};
  for (const Flag& flag : kFlags) own.names.emplace_back(flag.name);
  auto job = parse_job(kinds, Words(words), own);
  if (!job) return job.error();
  static_cast<JobArguments&>(batch) = std::move(*job);
  if (batch.jobs == 0) batch.jobs = default_jobs();
  if (batch.help) return batch;
  if (auto checked = check(batch, *kinds.find(batch.kind)); !checked) return checked.error();
  return batch;
}

}  // namespace quern::cli
