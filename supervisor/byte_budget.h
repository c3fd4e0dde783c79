// ByteBudget: how many bytes of memory all clients together may make us hold for one purpose, so that
// the memory ceiling does not grow with their number.
//
// take() before, give() after; who gets nothing waits for freed(). One thread.
#pragma once

#include <boost/asio/io_context.hpp>
#include <cstdint>

#include "supervisor/async_event.h"

namespace quern::supervisor {

class ByteBudget {
 public:
  ByteBudget(boost::asio::io_context& io, std::uint64_t bytes_max) : bytes_max_(bytes_max), freed_(io) {}

  // False: not now. Who is alone gets any amount, or it would wait for ever.
  [[nodiscard]] bool take(std::uint64_t bytes) noexcept {
    if (used_ > 0 && used_ + bytes > bytes_max_) return false;
    used_ += bytes;
    return true;
  }
  void give(std::uint64_t bytes) {
    used_ -= bytes;
    if (bytes > 0) freed_.notify_all();
  }
  // For what can't be refused any more.
  void take_anyway(std::uint64_t bytes) noexcept { used_ += bytes; }
  [[nodiscard]] bool exceeded() const noexcept { return used_ > bytes_max_; }
  [[nodiscard]] std::uint64_t used() const noexcept { return used_; }
  [[nodiscard]] AsyncEvent& freed() noexcept { return freed_; }

 private:
  std::uint64_t bytes_max_;
  std::uint64_t used_ = 0;
  AsyncEvent freed_;
};

}  // namespace quern::supervisor
