#include "client/cli/job_progress.h"

#include <unistd.h>

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "client/cli/progress_bar.h"
#include "client/cli/terminal.h"

namespace quern::cli {

namespace asio = boost::asio;

ProgressStyle progress_style(ProgressWish wish, bool terminal) noexcept {
  if (wish == ProgressWish::kNever) return ProgressStyle::kNone;
  if (terminal) return ProgressStyle::kBar;
  return wish == ProgressWish::kAlways ? ProgressStyle::kLines : ProgressStyle::kNone;
}

JobProgress::JobProgress(const asio::any_io_executor& executor, ProgressStyle style)
    : style_(style), timer_(executor), lines_(STDERR_FILENO) {}

asio::awaitable<void> JobProgress::show() {
  const bool bar = style_ == ProgressStyle::kBar;
  auto next = began_ + kPatience;
  while (style_ != ProgressStyle::kNone && !finished_) {
    timer_.expires_at(next);
    boost::system::error_code cancelled;
    co_await timer_.async_wait(asio::redirect_error(asio::use_awaitable, cancelled));
    if (finished_) break;
    bar ? draw() : print();
    next = Clock::now() + (bar ? kRedrawPeriod : kLinePeriod);
  }
}

void JobProgress::draw() {
  const auto elapsed = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - began_);
  lines_.draw({progress_bar(latest_.value_or(wire::Progress{}), elapsed, lines_.columns())});
}

void JobProgress::print() {
  if (!latest_ || latest_ == printed_) return;
  write_terminal(STDERR_FILENO, progress_line(*latest_) + "\n");
  printed_ = latest_;
}

void JobProgress::finish() {
  finished_ = true;
  timer_.cancel();
  lines_.erase();
}

}  // namespace quern::cli
