// FramePace: whether the frame that is being received comes fast enough.
//
// Only the time in which the client is waited for counts; what the server takes for itself (others' turns,
// a full queue, memory) does not. A frame is late when nothing of it came for timeout_ms at a time, or when
// it was waited for longer in all than timeout_ms and what its bytes so far may take at bytes_per_s_min: so
// a small one has about timeout_ms, a huge one the time it needs, and a byte now and then keeps nothing
// reserved. Entirely passive. One thread.
#pragma once

#include <cstdint>

namespace quern::supervisor {

class FramePace {
 public:
  struct Limits {
    std::uint32_t timeout_ms = 0;
    std::uint64_t bytes_per_s_min = 0;  // 0: only timeout_ms at a time
  };
  enum class Verdict { kInTime, kStalled, kTooSlow };

  // A part of a frame is here, and the client is waited for from now on.
  void wait(std::int64_t now_ns) noexcept { waiting_since_ns_ = now_ns; }
  // The wait is over, whatever for.
  void resume(std::int64_t now_ns) noexcept;
  // Bytes of a body came that is not buffered whole.
  void came(std::uint64_t bytes) noexcept { bytes_ += bytes; }
  // The frame is whole; what follows is another's.
  void reset() noexcept { *this = {}; }

  [[nodiscard]] Verdict verdict(std::int64_t now_ns, const Limits& limits) const noexcept;

 private:
  std::int64_t waiting_since_ns_ = 0;  // 0: not now
  std::int64_t waited_ns_ = 0;         // before that
  std::uint64_t bytes_ = 0;
};

}  // namespace quern::supervisor
