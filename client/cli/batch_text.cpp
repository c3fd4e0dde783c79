#include "client/cli/batch_text.h"

#include <fmt/format.h>

#include <algorithm>

#include "client/cli/document.h"
#include "client/cli/progress_bar.h"
#include "common/utf8.h"

namespace quern::cli {
namespace {

namespace json = boost::json;

constexpr std::size_t kRunningLinesMax = 16;

std::string_view name_of(FileEnd end) {
  constexpr std::string_view kNames[] = {"done", "skipped", "failed", "cancelled"};
  return kNames[static_cast<std::size_t>(end)];
}

// "  3 failed  41.2/s  1m09s left": what was skipped took no time, and says nothing of the rest.
std::string pace_text(const BatchView& view) {
  const std::uint64_t worked = view.totals.done + view.totals.failed;
  std::string text = view.totals.failed > 0 ? fmt::format("  {} failed", view.totals.failed) : "";
  if (worked > 0 && view.elapsed.count() > 0) {
    text += fmt::format("  {:.1f}/s", static_cast<double>(worked) * 1000 / static_cast<double>(view.elapsed.count()));
  }
  const std::uint64_t left = view.known - std::min(view.known, view.totals.ended());
  const auto time = view.all_known ? time_left(worked, worked + left, view.elapsed) : std::nullopt;
  return text + (time ? fmt::format("  {} left", duration(time->count())) : "");
}

std::string overall_line(const BatchView& view, std::size_t columns) {
  const std::uint64_t ended = view.totals.ended();
  if (!view.all_known || view.known == 0) {
    return cut_to_columns(fmt::format("{} {} of {} so far{}  {}", spinner(view.elapsed), ended, view.known,
                                      pace_text(view), duration(view.elapsed.count())),
                          columns);
  }
  const std::string percent = fmt::format("{:3}%", percent_of(ended, view.known));
  const std::string rest = fmt::format(" {}/{}{}", ended, view.known, pace_text(view));
  const std::string bar = bar_text(ended, view.known, columns - std::min(columns, percent.size() + 1 + rest.size()));
  return cut_to_columns(fmt::format("{}{}{}{}", percent, bar.empty() ? "" : " ", bar, rest), columns);
}

// The file's name gives way first: of a long path its end is left.
std::string running_line(const RunningFile& file, std::size_t columns) {
  const bool told = file.progress.total > 0 || file.progress.done > 0 || !file.progress.message.empty();
  const std::string progress =
      fmt::format("  {}", told ? progress_line(file.progress) : duration(file.running.count()));
  const std::size_t room = std::max(columns - std::min(columns, columns_of(progress) + 2), columns / 2);
  return cut_to_columns(fmt::format("  {}{}", keep_end(printable(file.input), room), progress), columns);
}

json::object error_json(const Error& error) {
  json::object object{{"code", name(error.code)}, {"message", valid_utf8(error.message)}};
  if (!error.field.empty()) object["field"] = valid_utf8(error.field);
  if (error.cause.kind != CauseKind::kNone) object["cause"] = describe(error.cause);
  if (error.job_id != 0) object["job"] = error.job_id;
  return object;
}

}  // namespace

void BatchTotals::add(const FileOutcome& outcome) {
  std::uint64_t BatchTotals::*const counts[] = {&BatchTotals::done, &BatchTotals::skipped, &BatchTotals::failed,
                                                &BatchTotals::cancelled};
  ++(this->*counts[static_cast<std::size_t>(outcome.end)]);
  input_bytes += outcome.input_bytes;
  output_bytes += outcome.output_bytes;
}

std::vector<std::string> batch_lines(const BatchView& view, std::span<const RunningFile> running, TerminalSize size) {
  std::vector<std::string> lines{overall_line(view, size.columns)};
  const std::size_t room = std::min({size.rows / 2, kRunningLinesMax, running.size()});
  for (const RunningFile& file : running.first(room)) lines.push_back(running_line(file, size.columns));
  return lines;
}

std::string batch_log_line(const BatchView& view) {
  const std::uint64_t ended = view.totals.ended();
  const std::string share =
      view.all_known && view.known > 0 ? fmt::format("{}% ", percent_of(ended, view.known)) : std::string();
  return fmt::format("{}{}/{}{}", share, ended, view.known, pace_text(view));
}

std::string outcome_text(const FileOutcome& outcome) {
  const std::string input = printable(outcome.input);
  switch (outcome.end) {
    case FileEnd::kDone:
      return fmt::format("{} -> {}, {} -> {}, {} ms", input, printable(outcome.output),
                         size_text(static_cast<std::int64_t>(outcome.input_bytes)),
                         size_text(static_cast<std::int64_t>(outcome.output_bytes)), outcome.wall.count());
    case FileEnd::kSkipped: return fmt::format("{}: skipped, {} is there", input, printable(outcome.output));
    default: return fmt::format("{}: {}", input, printable(to_string(outcome.error)));
  }
}

std::string summary_text(const BatchView& view) {
  const BatchTotals& totals = view.totals;
  std::string text = fmt::format("{} done", totals.done);
  if (totals.skipped > 0) text += fmt::format(", {} skipped", totals.skipped);
  if (totals.failed > 0) text += fmt::format(", {} failed", totals.failed);
  if (totals.cancelled > 0) text += fmt::format(", {} cancelled", totals.cancelled);
  return fmt::format("{}, in {}; {} read, {} written", text, duration(view.elapsed.count()),
                     size_text(static_cast<std::int64_t>(totals.input_bytes)),
                     size_text(static_cast<std::int64_t>(totals.output_bytes)));
}

json::object outcome_json(const FileOutcome& outcome) {
  json::object object{{"input", valid_utf8(outcome.input)}};
  if (!outcome.output.empty()) object["output"] = valid_utf8(outcome.output);
  const bool failed = outcome.end == FileEnd::kFailed || outcome.end == FileEnd::kCancelled;
  object["ok"] = !failed;
  object["end"] = name_of(outcome.end);
  if (failed) object["error"] = error_json(outcome.error);
  object["input_bytes"] = outcome.input_bytes;
  object["output_bytes"] = outcome.output_bytes;
  object["wall_ms"] = outcome.wall.count();
  return object;
}

json::object summary_json(const BatchView& view, std::string_view stopped) {
  const BatchTotals& totals = view.totals;
  json::object summary{{"done", totals.done},
                       {"skipped", totals.skipped},
                       {"failed", totals.failed},
                       {"cancelled", totals.cancelled},
                       {"input_bytes", totals.input_bytes},
                       {"output_bytes", totals.output_bytes},
                       {"wall_ms", view.elapsed.count()}};
  if (!stopped.empty()) summary["stopped"] = valid_utf8(stopped);
  return json::object{{"summary", std::move(summary)}};
}

}  // namespace quern::cli
