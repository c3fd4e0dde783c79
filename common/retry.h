// RetryOn: after which deaths of its worker a job may be tried again, while it has attempts left.
//
// A set of classes of causes, one bit each; the bits are wire format. What is not the job's doing (its
// worker was replaced by an operator) is always tried again. A job that must run at most once has one
// attempt, whatever stands here.
#pragma once

#include <cstdint>
#include <string_view>

#include "common/error.h"

namespace quern {

enum class RetryOn : std::uint8_t {
  kNothing = 0,
  kCrash = 1,             // exited, signaled, channel_corrupt
  kOutOfMemory = 2,       // killed for its memory
  kRunTimeout = 4,        // ran longer than its limit
  kSandboxViolation = 8,  // made a forbidden system call
  kAll = 15,
};

inline constexpr std::string_view kRetryOnWords[] = {"crash", "out_of_memory", "run_timeout", "sandbox_violation"};

[[nodiscard]] constexpr RetryOn operator|(RetryOn a, RetryOn b) noexcept {
  return static_cast<RetryOn>(static_cast<unsigned>(a) | static_cast<unsigned>(b));
}

// Whether a job that allows `allowed` may be tried again after `cause`.
[[nodiscard]] constexpr bool may_retry(RetryOn allowed, CauseKind cause) noexcept {
  const auto has = [allowed](RetryOn bit) {
    return (static_cast<unsigned>(allowed) & static_cast<unsigned>(bit)) != 0;
  };
  switch (cause) {
    case CauseKind::kExited:
    case CauseKind::kSignaled:
    case CauseKind::kChannelCorrupt: return has(RetryOn::kCrash);
    case CauseKind::kOutOfMemory: return has(RetryOn::kOutOfMemory);
    case CauseKind::kRunTimeout: return has(RetryOn::kRunTimeout);
    case CauseKind::kSandboxViolation: return has(RetryOn::kSandboxViolation);
    case CauseKind::kNone:
    case CauseKind::kRecycled:
    case CauseKind::kOperator: return true;
    default: return false;  // somebody wanted it ended
  }
}

}  // namespace quern
