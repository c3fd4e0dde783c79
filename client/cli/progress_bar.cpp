#include "client/cli/progress_bar.h"

#include <fmt/format.h>

#include <algorithm>

#include "client/cli/document.h"
#include "client/cli/terminal.h"

namespace quern::cli {
namespace {

using std::chrono::milliseconds;

constexpr std::size_t kBarColumnsMin = 7;
constexpr std::size_t kBarColumnsMax = 32;
constexpr milliseconds kSpinnerStep{100};

// A worker says what it likes, also that it has done more than there is.
double fraction(std::uint64_t done, std::uint64_t total) {
  return std::min(1.0, static_cast<double>(done) / static_cast<double>(total));
}

std::string with_message(std::string line, const wire::Progress& progress) {
  if (!progress.message.empty()) line += "  " + printable(progress.message);
  return line;
}

std::string unknown_total(const wire::Progress& progress, milliseconds elapsed) {
  const std::string done = progress.done == 0 ? "" : fmt::format("done {}  ", progress.done);
  return with_message(fmt::format("{} {}{}", spinner(elapsed), done, duration(elapsed.count())), progress);
}

}  // namespace

std::optional<milliseconds> time_left(std::uint64_t done, std::uint64_t total, milliseconds elapsed) {
  constexpr milliseconds kTooEarly{1000};
  constexpr double kTooLittle = 0.02;
  constexpr milliseconds kTooLong = std::chrono::hours(1000);
  if (total == 0 || done >= total || elapsed < kTooEarly) return std::nullopt;
  const double part = fraction(done, total);
  if (part < kTooLittle) return std::nullopt;
  const auto left = std::chrono::duration<double, std::milli>(elapsed) * ((1 - part) / part);
  return left > kTooLong ? std::nullopt : std::optional(std::chrono::duration_cast<milliseconds>(left));
}

int percent_of(std::uint64_t done, std::uint64_t total) noexcept {
  return static_cast<int>(100 * fraction(done, total));
}

std::string bar_text(std::uint64_t done, std::uint64_t total, std::size_t columns) {
  if (columns < kBarColumnsMin) return {};
  const std::size_t inside = std::min(columns, kBarColumnsMax) - 2;
  const auto full = static_cast<std::size_t>(fraction(done, total) * static_cast<double>(inside));
  const std::string_view tip = full == inside ? "" : ">";
  return fmt::format("[{:=<{}}{}{: <{}}]", "", full, tip, "", inside - full - tip.size());
}

char spinner(milliseconds elapsed) {
  constexpr std::string_view kFrames = "|/-\\";
  return kFrames[static_cast<std::size_t>(elapsed / kSpinnerStep) % kFrames.size()];
}

std::string progress_bar(const wire::Progress& progress, milliseconds elapsed, std::size_t columns) {
  if (progress.total == 0) return cut_to_columns(unknown_total(progress, elapsed), columns);
  const std::string percent = fmt::format("{:3}%", percent_of(progress.done, progress.total));
  std::string rest = fmt::format(" {}/{}", progress.done, progress.total);
  if (const auto left = time_left(progress.done, progress.total, elapsed)) {
    rest += fmt::format("  {} left", duration(left->count()));
  }
  rest = with_message(std::move(rest), progress);
  const std::size_t used = percent.size() + 1 + columns_of(rest);
  const std::string bar = bar_text(progress.done, progress.total, columns - std::min(columns, used));
  return cut_to_columns(fmt::format("{}{}{}{}", percent, bar.empty() ? "" : " ", bar, rest), columns);
}

std::string progress_line(const wire::Progress& progress) {
  if (progress.total == 0) return with_message(fmt::format("done {}", progress.done), progress);
  const int percent = percent_of(progress.done, progress.total);
  return with_message(fmt::format("{}% {}/{}", percent, progress.done, progress.total), progress);
}

}  // namespace quern::cli
