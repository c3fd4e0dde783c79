// AsyncEvent: a condition variable for coroutines of one io_context.
//
// wait() suspends until the next notify_all(); there is no memory of notifications, so the waiter
// loops over its condition, as with std::condition_variable. One thread. Destroying the event, or
// cancelling the waiting coroutine, also ends a wait.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace quern::supervisor {

class AsyncEvent {
 public:
  // any_io_executor or io_context
  template <class Executor>
  explicit AsyncEvent(Executor& executor) : timer_(executor, boost::asio::steady_timer::time_point::max()) {}

  [[nodiscard]] boost::asio::awaitable<void> wait() {
    boost::system::error_code cancelled;
    co_await timer_.async_wait(boost::asio::redirect_error(boost::asio::use_awaitable, cancelled));
  }
  void notify_all() { timer_.cancel(); }

 private:
  boost::asio::steady_timer timer_;
};

}  // namespace quern::supervisor
