// What `quern run` shows of its job's progress, on standard error: a bar that is redrawn and erased at the end, lines
// of text, or nothing.
//
// One event loop's: note() and show() run there. A bar appears only after kPatience, so that a fast job leaves no
// trace.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <optional>

#include "client/cli/live_lines.h"
#include "ipc/wire.h"

namespace quern::cli {

enum class ProgressWish : std::uint8_t { kOnTerminal, kAlways, kNever };
enum class ProgressStyle : std::uint8_t { kNone, kBar, kLines };

// --progress and --no-progress, and what standard error is.
[[nodiscard]] ProgressStyle progress_style(ProgressWish wish, bool terminal) noexcept;

inline constexpr std::chrono::milliseconds kPatience{300};      // before the first bar
inline constexpr std::chrono::milliseconds kRedrawPeriod{100};  // of a bar
inline constexpr std::chrono::milliseconds kLinePeriod{1000};   // between two lines of text

class JobProgress {
 public:
  JobProgress(const boost::asio::any_io_executor& executor, ProgressStyle style);

  void note(wire::Progress progress) { latest_ = std::move(progress); }
  // Draws until finish(), which erases what was drawn.
  [[nodiscard]] boost::asio::awaitable<void> show();
  void finish();

 private:
  using Clock = std::chrono::steady_clock;

  void draw();
  void print();

  ProgressStyle style_;
  boost::asio::steady_timer timer_;
  Clock::time_point began_ = Clock::now();
  std::optional<wire::Progress> latest_{};
  std::optional<wire::Progress> printed_{};
  bool finished_ = false;
  LiveLines lines_;
};

}  // namespace quern::cli
