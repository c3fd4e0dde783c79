#include "worker/warm_heap.h"

#include <malloc.h>

#include "ipc/reservation.h"

namespace quern::worker {

void WarmHeap::job_ended(std::uint64_t bytes) noexcept {
  if (bytes <= ipc::kMemoryShareBytes) return;
  keeps_ = true;
  if (::mallinfo2().fordblks > kKeptBytesMax) idle();
}

void WarmHeap::idle() noexcept {
  ::malloc_trim(0);
  keeps_ = false;
}

}  // namespace quern::worker
