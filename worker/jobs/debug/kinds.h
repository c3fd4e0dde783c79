// What the debug module is made of: lists of kinds, and what their jobs share.
#pragma once

#include <chrono>
#include <cstdint>
#include <vector>

#include "worker/sdk/job.h"

namespace quern::debug {

using Clock = std::chrono::steady_clock;

// Jobs that do what they are asked to, and take the time and the memory they are told to.
[[nodiscard]] std::vector<sdk::Kind> working_kinds();
// Jobs that die, fail, and do what they must not.
[[nodiscard]] std::vector<sdk::Kind> misbehaving_kinds();
// Jobs that work on the words of a shared buffer.
[[nodiscard]] std::vector<sdk::Kind> sharing_kinds();

inline constexpr double kMillisecondsMax = 3'600'000;

// Sleeps to `until` in slices, so that a raised cancel word is seen within 5 ms. Null: whoever cancels is not heard.
void sleep_until(Clock::time_point until, const sdk::Job* cancellable);

// Of that signal, the real thing where it can be had.
[[noreturn]] void die_by(int signal);

[[nodiscard]] sdk::ParamSpec milliseconds_param(std::int64_t fallback);

}  // namespace quern::debug
