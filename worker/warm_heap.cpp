#include "worker/warm_heap.h"

#include <malloc.h>

#include "ipc/reservation.h"

namespace quern::worker {

void WarmHeap::set_up() noexcept {
  constexpr int kMmapThreshold = 32 << 20;  // the most that mallopt(3) takes: larger blocks are mapped by themselves
  ::mallopt(M_MMAP_THRESHOLD, kMmapThreshold);
  ::mallopt(M_TRIM_THRESHOLD, static_cast<int>(kKeptBytesMax));
}

void WarmHeap::job_ended(std::uint64_t bytes) noexcept {
  keeps_ = true;
  // a job that took no more than its worker's share left nothing that is worth a look
  if (bytes > ipc::kMemoryShareBytes && ::mallinfo2().fordblks > kKeptBytesMax) idle();
}

void WarmHeap::idle() noexcept {
  ::malloc_trim(0);
  keeps_ = false;
}

}  // namespace quern::worker
