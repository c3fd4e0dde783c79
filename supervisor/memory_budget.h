// MemoryBudget: how much memory a pool's jobs may take, who has how much of it, and who waits for some.
//
//     ask() --> Waiting, last in line --grant_next()--> Granted --lower()--> Granted
//                  |                                       |
//                  +----------------- release() -----------+--> None
//
// First come, first served, and nobody overtakes: while small jobs keep coming, there would never be room for a large
// one. It costs what is free beside the first in line, for as long as that waits: at most for one of the jobs that run.
//
// What counts: each living worker's share, whether it runs a job or not, and what a job has reserved beyond that. A job
// gets its memory when the sum stays within the budget, or when no other job has any: then no wait would make more room
// for it. So the first in line gets it at the latest when those who have some have ended, and everybody does in time;
// and all workers together take at most the budget, or what one job has reserved and the others' shares.
//
// Entirely passive: who calls grant_next() says how many workers there are now, and tells the job that it got its
// memory. Shares are not taken from jobs that are granted: more workers only make those wait longer who come later.
//
// One thread. A job is released before its record is freed.
#pragma once

#include <boost/intrusive/list.hpp>
#include <cstddef>
#include <cstdint>

#include "supervisor/job.h"

namespace quern::supervisor {

class MemoryBudget {
 public:
  // `share_bytes`: of each worker.
  MemoryBudget(std::uint64_t bytes_max, std::uint64_t share_bytes) : bytes_max_(bytes_max), share_bytes_(share_bytes) {}

  // Requires: `job` neither has nor waits for memory. grant_next() follows.
  void ask(Job& job, std::uint64_t bytes) noexcept;
  // Keeps `bytes` of what `job` was granted, the share or less: nothing. Requires: not more than it has. grant_next()
  // follows.
  void lower(Job& job, std::uint64_t bytes) noexcept;
  // Whatever `job` has, or waits for. True: there may be room for the next, and grant_next() follows.
  bool release(Job& job) noexcept;
  // The first in line, when it can have its memory now: it has it. Else null.
  [[nodiscard]] Job* grant_next(std::size_t workers) noexcept;

  [[nodiscard]] std::uint64_t bytes_max() const noexcept { return bytes_max_; }
  [[nodiscard]] std::uint64_t reserved_bytes() const noexcept { return reserved_bytes_; }  // granted, shares included
  [[nodiscard]] std::size_t holders() const noexcept { return holders_; }
  [[nodiscard]] std::size_t waiting() const noexcept { return waiting_; }

 private:
  using Line = boost::intrusive::list<Job, boost::intrusive::member_hook<Job, LineHook, &Job::memory_hook>,
                                      boost::intrusive::constant_time_size<false>>;

  [[nodiscard]] bool fits(std::uint64_t bytes, std::size_t workers) const noexcept;

  std::uint64_t bytes_max_;
  std::uint64_t share_bytes_;
  Line line_;
  std::size_t waiting_ = 0;
  std::size_t holders_ = 0;
  std::uint64_t reserved_bytes_ = 0;
};

}  // namespace quern::supervisor
