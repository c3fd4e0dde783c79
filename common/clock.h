// Time, as the whole of Quern tells it: CLOCK_MONOTONIC in nanoseconds. Wall-clock time appears only
// in logs. std::chrono::steady_clock is the same clock, so timers and these numbers agree.
#pragma once

#include <chrono>
#include <cstdint>

namespace quern {

inline constexpr std::int64_t kNsPerMs = 1'000'000;

[[nodiscard]] inline std::int64_t now_ns() noexcept {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

}  // namespace quern
