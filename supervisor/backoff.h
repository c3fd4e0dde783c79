// Backoff: when a pool's next worker may be started after deaths in a row.
//
// The first kFree deaths cost nothing, so that one crash, or one poison job with its attempts, is
// replaced at once; then the delay doubles from kFirst to kMost, with +-25% jitter so that pools don't
// beat in step. A finished job ends the row. Pure: time and randomness come in from outside.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace quern::supervisor {

class Backoff {
 public:
  using Duration = std::chrono::milliseconds;
  static constexpr std::uint32_t kFree = 5;
  static constexpr Duration kFirst{50};
  static constexpr Duration kMost{10'000};

  // Counts a death and returns how long to wait before the next start. `random` is in [0, 1).
  [[nodiscard]] Duration after_death(double random) noexcept {
    ++deaths_;
    if (deaths_ <= kFree) return delay_ = Duration{0};
    const std::uint32_t doublings = std::min<std::uint32_t>(deaths_ - kFree - 1, 16);
    const auto base = std::min(kMost, Duration(kFirst.count() << doublings));
    return delay_ = Duration(static_cast<Duration::rep>(static_cast<double>(base.count()) * (0.75 + random / 2)));
  }
  void reset() noexcept {
    deaths_ = 0;
    delay_ = Duration{0};
  }
  [[nodiscard]] std::uint32_t deaths_in_a_row() const noexcept { return deaths_; }
  [[nodiscard]] Duration delay() const noexcept { return delay_; }

 private:
  std::uint32_t deaths_ = 0;
  Duration delay_{0};
};

}  // namespace quern::supervisor
