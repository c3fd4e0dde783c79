// JobQueue: what a pool has accepted and not yet published. Priority first, first come first served
// within one; bounded by count and bytes by the pool, which asks full() before it pushes.
//
// Does not own the jobs, allocates nothing, and every operation is O(1). One thread.
#pragma once

#include <array>
#include <bit>
#include <boost/intrusive/list.hpp>
#include <cstdint>

#include "supervisor/job.h"

namespace quern::supervisor {

class JobQueue {
 public:
  JobQueue(std::uint32_t jobs_max, std::uint64_t bytes_max) noexcept : jobs_max_(jobs_max), bytes_max_(bytes_max) {}

  [[nodiscard]] std::uint32_t size() const noexcept { return size_; }
  [[nodiscard]] std::uint64_t bytes() const noexcept { return bytes_; }
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  // Whether a job of `bytes` more has no place. An empty queue takes any job, or a job above
  // bytes_max would wait for ever.
  [[nodiscard]] bool full(std::uint64_t bytes) const noexcept {
    return size_ >= jobs_max_ || (size_ > 0 && bytes_ + bytes > bytes_max_);
  }

  void push_back(Job& job) noexcept { add(job, false); }
  // For a job that was published and comes back: it has waited its turn already.
  void push_front(Job& job) noexcept { add(job, true); }

  [[nodiscard]] Job& pop() noexcept {
    Job& job = levels_[highest()].front();
    remove(job);
    return job;
  }
  void remove(Job& job) noexcept {
    List& level = levels_[job.priority];
    level.erase(List::s_iterator_to(job));
    if (level.empty()) occupied_ &= ~(1U << job.priority);
    --size_;
    bytes_ -= job.payload_bytes;
  }

 private:
  using List = boost::intrusive::list<Job, boost::intrusive::member_hook<Job, QueueHook, &Job::queue_hook>,
                                      boost::intrusive::constant_time_size<false>>;

  void add(Job& job, bool front) noexcept {
    List& level = levels_[job.priority];
    if (front) {
      level.push_front(job);
    } else {
      level.push_back(job);
    }
    occupied_ |= 1U << job.priority;
    ++size_;
    bytes_ += job.payload_bytes;
  }
  [[nodiscard]] std::size_t highest() const noexcept { return static_cast<std::size_t>(std::bit_width(occupied_)) - 1; }

  std::array<List, wire::kPriorityMax + 1> levels_;
  std::uint32_t occupied_ = 0;  // bit p: levels_[p] has jobs
  std::uint32_t size_ = 0;
  std::uint64_t bytes_ = 0;
  std::uint32_t jobs_max_;
  std::uint64_t bytes_max_;
};

}  // namespace quern::supervisor
