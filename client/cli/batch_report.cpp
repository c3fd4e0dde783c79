#include "client/cli/batch_report.h"

#include <fmt/format.h>
#include <unistd.h>

#include <boost/json/serialize.hpp>
#include <cstdio>

namespace quern::cli {
namespace {

constexpr std::size_t kFailuresListed = 20;

}  // namespace

BatchReport::BatchReport(const Options& options) noexcept : options_(options), lines_(STDERR_FILENO) {}

const BatchView& BatchReport::view_of_now() noexcept {
  view_.elapsed = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - began_);
  return view_;
}

void BatchReport::know_of(std::uint64_t inputs, bool all) noexcept {
  view_.known = inputs;
  view_.all_known = all;
}

void BatchReport::file_ended(const FileOutcome& outcome) {
  view_.totals.add(outcome);
  if (options_.json) write_json(outcome_json(outcome));
  if (outcome.end != FileEnd::kFailed) {
    if (options_.verbose) say(outcome_text(outcome));
  } else if (!options_.list_failures) {
    say(fmt::format("quern: {}", outcome_text(outcome)));
  } else if (failures_.size() < kFailuresListed) {
    failures_.push_back(outcome_text(outcome));
  }
}

void BatchReport::show(std::span<const RunningFile> running) {
  if (options_.style == ProgressStyle::kBar) {
    return lines_.draw(batch_lines(view_of_now(), running, {.rows = lines_.rows(), .columns = lines_.columns()}));
  }
  if (options_.style != ProgressStyle::kLines) return;
  const std::string counts = fmt::format("{}/{}", view_.totals.ended(), view_.known);
  if (counts == logged_) return;
  logged_ = counts;
  say(batch_log_line(view_of_now()));
}

void BatchReport::summarize(std::string_view stopped) {
  lines_.erase();
  for (const std::string& failure : failures_) say(fmt::format("quern: {}", failure));
  if (const std::uint64_t more = view_.totals.failed - failures_.size(); options_.list_failures && more > 0) {
    say(fmt::format("quern: ... and {} more; --json lists all", more));
  }
  if (!stopped.empty()) say(fmt::format("quern: stopped before the end: {}", printable(stopped)));
  say(summary_text(view_of_now()));
  if (options_.json) write_json(summary_json(view_, stopped));
}

void BatchReport::say(const std::string& line) { lines_.print_above(line + "\n"); }

void BatchReport::write_json(const boost::json::object& object) {
  const std::string line = boost::json::serialize(object) + "\n";
  const bool written = std::fwrite(line.data(), 1, line.size(), stdout) == line.size() && std::fflush(stdout) == 0;
  output_broken_ = output_broken_ || !written;
}

}  // namespace quern::cli
