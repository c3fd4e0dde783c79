// ByteBudget: how many bytes of memory all clients together may make us hold for one purpose, so that
// the memory ceiling does not grow with their number. For what can't be refused any more, only counted:
// who makes us hold more has to wait. One thread.
#pragma once

#include <cstdint>

namespace quern::supervisor {

class ByteBudget {
 public:
  explicit ByteBudget(std::uint64_t bytes_max) : bytes_max_(bytes_max) {}

  void take(std::uint64_t bytes) noexcept { used_ += bytes; }
  void give(std::uint64_t bytes) noexcept { used_ -= bytes; }
  [[nodiscard]] bool exceeded() const noexcept { return used_ > bytes_max_; }

 private:
  std::uint64_t bytes_max_;
  std::uint64_t used_ = 0;
};

}  // namespace quern::supervisor
