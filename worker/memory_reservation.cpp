#include "worker/memory_reservation.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "common/clock.h"
#include "ipc/doorbell.h"
#include "worker/sdk/job.h"

namespace quern::worker {
namespace {

[[noreturn]] void refuse(std::uint64_t bytes, std::string_view whose, std::uint64_t bytes_max,
                         std::string_view setting) {
  throw sdk::JobError(sdk::JobErrorCode::kTooLarge, fmt::format("the job needs {} bytes of memory, and {} {} ({})",
                                                                bytes, whose, bytes_max, setting));
}

}  // namespace

void MemoryReservation::begin(std::uint64_t position) noexcept {
  position_ = position;
  bytes_ = 0;
  most_bytes_ = 0;
  told_ = false;
  waited_ns_ = 0;
}

void MemoryReservation::reserve(std::uint64_t bytes) {
  check(bytes);
  if (bytes == bytes_) return;
  const bool of_budget = producer_.budget_bytes() > 0 && bytes > ipc::kMemoryShareBytes;
  if (bytes > bytes_ && of_budget) {
    wait_for(producer_.tell(position_, bytes));
  } else if (told_) {
    producer_.tell(position_, bytes);
  }
  told_ = of_budget;
  bytes_ = bytes;
  most_bytes_ = std::max(most_bytes_, bytes);
}

void MemoryReservation::check(std::uint64_t bytes) const {
  if (memory_bytes_max_ > 0 && bytes > memory_bytes_max_) {
    refuse(bytes, "its worker may have", memory_bytes_max_, "memory_bytes_max of its pool");
  }
  if (producer_.budget_bytes() > 0 && bytes > producer_.budget_bytes()) {
    refuse(bytes, "all jobs of its pool together have", producer_.budget_bytes(), "memory_budget_bytes");
  }
  if (bytes_ > 0 && bytes > bytes_) {
    throw sdk::JobError(sdk::JobErrorCode::kInternal,
                        fmt::format("the job's module reserved {} bytes of memory and then {}: what it reserves first "
                                    "must be the most",
                                    bytes_, bytes));
  }
}

void MemoryReservation::wait_for(std::uint64_t word) {
  const std::int64_t began_ns = now_ns();
  while (!producer_.granted(word)) {
    if (header_.cancel.load(std::memory_order_relaxed) == position_ + 1) {
      waited_ns_ += now_ns() - began_ns;
      throw sdk::JobError(sdk::JobErrorCode::kCancelled, "the job was asked to stop while it waited for memory");
    }
    ipc::wait_for_memory(header_, word, position_);
  }
  waited_ns_ += now_ns() - began_ns;
}

}  // namespace quern::worker
