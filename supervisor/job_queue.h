// JobQueue: what a pool has accepted and not yet published, bounded by count and bytes, and who is next.
//
// - A higher priority goes first. A waiting job ages: every `aging_ns` it waits counts as one priority
//   more, so that no flood of urgent jobs starves the rest.
// - Within a priority clients take turns, a job each; a client's own jobs keep their order.
// - No client may fill the queue: one that has jobs in it may have at most kShareOfFree times as much as
//   is still free, so that a newcomer always finds a place and n flooding clients get equal parts
//   (dynamic thresholds: A. K. Choudhury, E. L. Hahne, "Dynamic Queue Length Thresholds for Shared-Memory
//   Packet Switches", IEEE/ACM ToN 6(2), 1998).
//
// - Who waits for room for its bytes stands in line, and is not overtaken: else a large job would wait for ever
//   while small ones take each bit of room that comes. Who waits only because its own client has too much of the
//   queue holds nobody back.
//
// Does not own the jobs. Every operation is O(1), but pop() that looks at each of the ten priorities;
// nothing is allocated once warm. One thread. Empty at its destruction.
#pragma once

#include <array>
#include <boost/intrusive/list.hpp>
#include <boost/unordered/unordered_flat_map.hpp>
#include <cstdint>
#include <memory>
#include <vector>

#include "supervisor/job.h"

namespace quern::supervisor {

struct JobQueueLimits {
  std::uint32_t jobs_max = 10'000;
  std::uint64_t bytes_max = 256ULL << 20;
  std::int64_t aging_ns = 0;  // 0: jobs don't age
};

class JobQueue {
 public:
  static constexpr std::uint64_t kShareOfFree = 8;

  explicit JobQueue(const JobQueueLimits& limits) noexcept : limits_(limits) {}
  JobQueue(const JobQueue&) = delete;
  JobQueue& operator=(const JobQueue&) = delete;

  [[nodiscard]] std::uint32_t size() const noexcept { return size_; }
  [[nodiscard]] std::uint64_t bytes() const noexcept { return bytes_; }
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  // Of all jobs in it: how long they are expected to run, one after another.
  [[nodiscard]] double work_ns() const noexcept { return work_ns_; }

  // Whether a job of `bytes` more of this client has no place. An empty queue takes any job, or a job
  // above bytes_max would wait for ever; so does the supervisor's own.
  [[nodiscard]] bool full(std::uint64_t client_id, std::uint64_t bytes) const noexcept;

  // Whether somebody stands in line before `job`, which may be in it or not.
  [[nodiscard]] bool overtakes(const Job& job) const noexcept;
  // `job` has no place. It gets into line, if there is one or it is its bytes that have none, and stays until
  // leave_line() or its end.
  void stand_in_line(Job& job) noexcept;
  // Whether it was in line: then who was behind may be first now.
  static bool leave_line(Job& job) noexcept;

  void push_back(Job& job) { add(job, false); }
  // For a job that was published and comes back: it has waited its turn already.
  void push_front(Job& job) { add(job, true); }
  // The next one, taken out. Requires: not empty.
  [[nodiscard]] Job& pop(std::int64_t now_ns) noexcept;
  void remove(Job& job) noexcept;

 private:
  static constexpr std::size_t kLevels = wire::kPriorityMax + 1;
  using Jobs = boost::intrusive::list<Job, boost::intrusive::member_hook<Job, QueueHook, &Job::queue_hook>,
                                      boost::intrusive::constant_time_size<false>>;
  using Arrivals = boost::intrusive::list<Job, boost::intrusive::member_hook<Job, QueueHook, &Job::arrival_hook>,
                                          boost::intrusive::constant_time_size<false>>;
  // One client's jobs of one priority; in its level's list of turns while it has any.
  struct Turn : boost::intrusive::list_base_hook<> {
    Jobs jobs;
  };
  struct Flow {
    std::array<Turn, kLevels> turns;
    std::uint32_t jobs = 0;
    std::uint64_t bytes = 0;
  };
  using Line = boost::intrusive::list<Job, boost::intrusive::member_hook<Job, LineHook, &Job::line_hook>,
                                      boost::intrusive::constant_time_size<false>>;
  struct Level {
    boost::intrusive::list<Turn, boost::intrusive::constant_time_size<false>> turns;
    Arrivals arrivals;  // oldest first
  };

  void add(Job& job, bool front);
  [[nodiscard]] bool no_room_for(std::uint64_t bytes) const noexcept;
  [[nodiscard]] bool has_its_share(std::uint64_t client_id, std::uint64_t bytes) const noexcept;
  [[nodiscard]] Flow& flow_of(std::uint64_t client_id);
  [[nodiscard]] std::size_t next_level(std::int64_t now_ns, bool& aged) const noexcept;

  JobQueueLimits limits_;
  std::array<Level, kLevels> levels_;
  Line line_;                   // of jobs that are not in the queue
  std::uint32_t occupied_ = 0;  // bit p: levels_[p] has jobs
  std::uint32_t size_ = 0;
  std::uint64_t bytes_ = 0;
  double work_ns_ = 0;
  boost::unordered_flat_map<std::uint64_t, std::unique_ptr<Flow>> flows_;  // clients with jobs here
  std::vector<std::unique_ptr<Flow>> spare_flows_;
};

}  // namespace quern::supervisor
