#include "supervisor/frame_pace.h"

#include "common/clock.h"

namespace quern::supervisor {

void FramePace::resume(std::int64_t now_ns) noexcept {
  if (waiting_since_ns_ != 0) waited_ns_ += now_ns - waiting_since_ns_;
  waiting_since_ns_ = 0;
}

FramePace::Verdict FramePace::verdict(std::int64_t now_ns, const Limits& limits) const noexcept {
  if (waiting_since_ns_ == 0) return Verdict::kInTime;
  const std::int64_t now_waiting_ns = now_ns - waiting_since_ns_;
  const std::int64_t timeout_ns = limits.timeout_ms * kNsPerMs;
  if (now_waiting_ns >= timeout_ns) return Verdict::kStalled;
  if (bytes_ > 0 && limits.bytes_per_s_min == 0) return Verdict::kInTime;
  const double allowed_ns =
      bytes_ == 0 ? 0 : static_cast<double>(bytes_) * 1e9 / static_cast<double>(limits.bytes_per_s_min);
  if (static_cast<double>(waited_ns_ + now_waiting_ns - timeout_ns) < allowed_ns) return Verdict::kInTime;
  return bytes_ == 0 ? Verdict::kStalled : Verdict::kTooSlow;
}

}  // namespace quern::supervisor
