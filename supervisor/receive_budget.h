// ReceiveBudget: the memory for large bodies that are being received, of all clients together.
//
// A share is taken whole before the first byte: so no body that has begun waits for memory that others
// hold half used. First come, first served, or a large body would wait for ever while small ones keep coming.
// One that is larger than the budget itself has its own line, whose first gets memory beside the budget: it
// neither waits for the others nor keeps them waiting, however slowly it comes.
//
// So all of it together is at most bytes_max and one body more. One thread; outlives its shares.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <list>
#include <utility>

#include "supervisor/async_event.h"

namespace quern::supervisor {

class ReceiveBudget {
  struct Lane {
    std::uint64_t bytes_max = 0;
    std::uint64_t used = 0;
    std::list<std::uint64_t> line{};  // bytes that are waited for, first come first
  };
  class Place;

 public:
  // Some bytes of the budget, given back at its end.
  class Share {
   public:
    Share() = default;
    Share(Share&& other) noexcept
        : budget_(std::exchange(other.budget_, nullptr)), lane_(other.lane_), bytes_(std::exchange(other.bytes_, 0)) {}
    Share& operator=(Share&& other) noexcept {
      std::swap(budget_, other.budget_);
      std::swap(lane_, other.lane_);
      std::swap(bytes_, other.bytes_);
      return *this;
    }
    ~Share();
    explicit operator bool() const noexcept { return budget_ != nullptr; }

   private:
    friend class ReceiveBudget;
    Share(ReceiveBudget& budget, Lane& lane, std::uint64_t bytes) noexcept
        : budget_(&budget), lane_(&lane), bytes_(bytes) {}
    ReceiveBudget* budget_ = nullptr;
    Lane* lane_ = nullptr;
    std::uint64_t bytes_ = 0;
  };

  ReceiveBudget(boost::asio::io_context& io, std::uint64_t bytes_max)
      : within_{.bytes_max = bytes_max}, beside_{.bytes_max = 0}, changed_(io) {}

  // Waits in line. Who is cancelled leaves it.
  [[nodiscard]] boost::asio::awaitable<Share> reserve(std::uint64_t bytes);
  // Reserved now.
  [[nodiscard]] std::uint64_t used() const noexcept { return within_.used + beside_.used; }

 private:
  Lane within_;
  Lane beside_;  // one at a time
  AsyncEvent changed_;
};

}  // namespace quern::supervisor
