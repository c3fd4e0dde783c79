#include "worker/warm_heap.h"

#include <malloc.h>
#include <unistd.h>

#include "ipc/reservation.h"

namespace quern::worker {

void WarmHeap::set_up() noexcept {
  constexpr int kMmapThreshold = 32 << 20;  // the most that mallopt(3) takes: larger blocks are mapped by themselves
  ::mallopt(M_MMAP_THRESHOLD, kMmapThreshold);
  ::mallopt(M_TRIM_THRESHOLD, static_cast<int>(kKeptBytesMax));
}

const char* WarmHeap::end_of_heap() noexcept { return static_cast<const char*>(::sbrk(0)); }

void WarmHeap::job_ended(std::uint64_t bytes) noexcept {
  const bool large = bytes > ipc::kMemoryShareBytes;
  if (large || end_of_heap() - low_ >= kWorthBytes) keeps_ = true;
  if (large && ::mallinfo2().fordblks > kKeptBytesMax) idle();
}

void WarmHeap::idle() noexcept {
  ::malloc_trim(0);
  keeps_ = false;
  low_ = end_of_heap();
}

}  // namespace quern::worker
