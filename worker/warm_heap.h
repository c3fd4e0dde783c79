// WarmHeap: what a worker's heap keeps from job to job.
//
// malloc keeps pages that were freed, and the next job gets them without a page fault: thousands a picture. But
// meanwhile no other process has them. So they stay while jobs come, up to kKeptBytesMax; what is more goes back to the
// kernel before the job's answer is published, with which its reservation ends; and when no job came for kIdle, all
// goes back. malloc's own thresholds, which move with what is freed, would give back some after each job.
//
// One thread.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace quern::worker {

class WarmHeap {
 public:
  static constexpr std::uint64_t kKeptBytesMax = 64U << 20;
  static constexpr std::chrono::seconds kIdle{1};

  // Sets malloc's thresholds, for the whole process.
  static void set_up() noexcept;
  // A job is over that took at most `bytes`, as far as it said, and has freed them.
  void job_ended(std::uint64_t bytes) noexcept;
  // How long to wait for a job before idle(); for ever, when nothing is kept.
  [[nodiscard]] std::chrono::nanoseconds patience() const noexcept {
    return keeps_ ? std::chrono::nanoseconds(kIdle) : std::chrono::nanoseconds::max();
  }
  void idle() noexcept;

 private:
  static constexpr std::ptrdiff_t kWorthBytes = 4 << 20;  // less is not worth waking up for

  bool keeps_ = false;
  const char* low_ = end_of_heap();  // where it ended when nothing was kept

  [[nodiscard]] static const char* end_of_heap() noexcept;  // no system call
};

}  // namespace quern::worker
