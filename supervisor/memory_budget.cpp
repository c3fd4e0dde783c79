#include "supervisor/memory_budget.h"

namespace quern::supervisor {

void MemoryBudget::ask(Job& job, std::uint64_t bytes) noexcept {
  job.memory = MemoryState::kWaiting;
  job.memory_bytes = bytes;
  line_.push_back(job);
  ++waiting_;
}

void MemoryBudget::lower(Job& job, std::uint64_t bytes) noexcept {
  if (bytes <= share_bytes_) {
    release(job);
    return;
  }
  reserved_bytes_ -= job.memory_bytes - bytes;
  job.memory_bytes = bytes;
}

bool MemoryBudget::release(Job& job) noexcept {
  if (job.memory == MemoryState::kNone) return false;
  if (job.memory == MemoryState::kWaiting) {
    job.memory_hook.unlink();
    --waiting_;
  } else {
    reserved_bytes_ -= job.memory_bytes;
    --holders_;
  }
  job.memory = MemoryState::kNone;
  return true;
}

Job* MemoryBudget::grant_next(std::size_t workers) noexcept {
  if (line_.empty()) return nullptr;
  Job& job = line_.front();
  if (!fits(job.memory_bytes, workers)) return nullptr;
  line_.pop_front();
  --waiting_;
  ++holders_;
  reserved_bytes_ += job.memory_bytes;
  job.memory = MemoryState::kGranted;
  return &job;
}

// A holder's reservation covers its worker's share.
bool MemoryBudget::fits(std::uint64_t bytes, std::size_t workers) const noexcept {
  if (holders_ == 0) return true;
  const std::uint64_t others = workers > holders_ + 1 ? workers - holders_ - 1 : 0;
  return reserved_bytes_ + bytes + others * share_bytes_ <= bytes_max_;
}

}  // namespace quern::supervisor
