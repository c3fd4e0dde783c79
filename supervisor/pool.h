// Pool: the unit of sizing. It owns the jobs it has accepted until they are answered, queues them by
// priority, and keeps its workers busy; the workers' lives are its Fleet's.
//
//     submit --> queue --dispatch--> a worker's ring --> answer --> client told, record freed
//                  ^                       |
//                  +--- revoked, or its worker died with attempts left
//
// What holds:
// - Every accepted job is answered exactly once: settle() is the only way out, and takes the record away.
// - An accepted job is in the expiry set from acceptance to answer, so none can be forgotten.
// - A job that has not begun can always be taken back (revoke) and then costs no attempt.
// - A running job is asked to stop first, and its worker is killed after the grace period: every job
//   ends in bounded time.
//
// Dispatch gives a worker more than one job only while they are short (kPrefetchNs of work), and takes
// prefetched jobs back when another worker idles, so that nobody waits behind a long one, or one that waits for memory.
//
// One thread. Destroy only with the fleet stopped, or with the io_context gone.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/intrusive/set.hpp>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/error.h"
#include "supervisor/async_event.h"
#include "supervisor/config.h"
#include "supervisor/fleet.h"
#include "supervisor/job.h"
#include "supervisor/job_queue.h"
#include "supervisor/memory_budget.h"
#include "supervisor/quarantine.h"
#include "supervisor/worker.h"

namespace quern::supervisor {

// Counted since start, for status and metrics.
struct PoolFacts {
  std::uint64_t accepted = 0;
  std::uint64_t succeeded = 0;
  std::map<ErrorCode, std::uint64_t> failed{};
  std::uint64_t retried = 0;  // attempts after a worker's death
  std::uint64_t refused = 0;  // busy, draining, no worker, a deadline that can't be met
  std::uint64_t slow = 0;     // ran longer than slow_job_ms
  std::uint64_t waited_for_memory = 0;
};

// How long a kind's jobs run, as measured.
struct ServiceTime {
  double average_ns = 0;  // moving; 0: nothing measured
  double fastest_ns = 0;  // recently; what no job of this kind is likely to undercut
  void note(double run_ns) noexcept;
};

class Pool final : private WorkerEvents, private FleetEvents {
 public:
  enum class Mode { kRunning, kPaused, kDraining, kStopping };
  enum class Admission { kAccepted, kFull };
  static constexpr std::uint32_t kAttemptsMax = 10;

  Pool(boost::asio::io_context& io, ChildRegistry& registry, JobStore& store, Quarantine& quarantine, PoolConfig config,
       FleetOptions fleet);
  ~Pool();

  // Loads the modules and starts the workers; kinds() are known afterwards.
  [[nodiscard]] boost::asio::awaitable<Result<void>> start();
  [[nodiscard]] const std::vector<std::unique_ptr<Kind>>& kinds() const noexcept { return kinds_; }

  // The kind that proves the pool's health, or null.
  [[nodiscard]] const Kind* canary() const noexcept;

  // ---- Jobs

  // What submit() would say of `job` now; sets its limits. A refusal is counted.
  [[nodiscard]] Result<Admission> admission(Job& job, const wire::JobOptions& options);
  // Takes `job` (kind, client, bytes and descriptors set) and answers it in time, or says kFull and
  // leaves it with the caller, who may wait for room(). An Error is a refusal.
  [[nodiscard]] Result<Admission> submit(std::unique_ptr<Job>& job, const wire::JobOptions& options);
  // `job`, not accepted yet, does not wait for room any more, or not now.
  void leave_line(Job& job) {
    if (JobQueue::leave_line(job)) room_.notify_all();
  }
  // Notified whenever the queue got shorter, the mode changed, or somebody who waited has gone.
  [[nodiscard]] AsyncEvent& room() noexcept { return room_; }
  // How long a refused client should wait, from the measured service times.
  [[nodiscard]] std::uint32_t retry_after_ms() const noexcept;
  // Ends a job early: at once when it has not begun, else by a cooperative stop and the grace period.
  // kClientGone: nobody is told.
  void cancel(Job& job, CauseKind why);
  // The job's client takes bytes of its result again.
  void resume_stream(Job& job) {
    if (job.worker != nullptr) job.worker->resume_stream(job);
  }

  // ---- Operators

  [[nodiscard]] Result<void> resize(std::uint32_t workers);
  void drain() { set_mode(Mode::kDraining); }
  void pause() { set_mode(Mode::kPaused); }
  void resume() { set_mode(Mode::kRunning); }
  [[nodiscard]] boost::asio::awaitable<Result<void>> restart() { return fleet_.restart(); }

  // Answers what has not begun with shutting_down, lets the rest finish; stopped() waits for it.
  void stop();
  void kill_all() noexcept { fleet_.kill_all({CauseKind::kSupervisorStopping, 0}); }
  [[nodiscard]] boost::asio::awaitable<void> stopped() { return fleet_.stopped(); }

  // ---- Facts

  [[nodiscard]] const PoolConfig& config() const noexcept { return config_; }
  [[nodiscard]] const Fleet& fleet() const noexcept { return fleet_; }
  [[nodiscard]] const JobQueue& queue() const noexcept { return queue_; }
  [[nodiscard]] const MemoryBudget& memory() const noexcept { return memory_; }
  [[nodiscard]] const PoolFacts& facts() const noexcept { return facts_; }
  [[nodiscard]] Mode mode() const noexcept { return mode_; }
  [[nodiscard]] std::size_t jobs() const noexcept { return expiries_.size(); }  // accepted, not answered
  // Null when no accepted, unanswered job has this id. Looks at all of them.
  [[nodiscard]] Job* find(std::uint64_t job_id) noexcept;
  template <class Visit>
  void for_each_job(Visit visit) const {
    for (const Job& job : expiries_) visit(job);
  }

 private:
  struct ByExpiry {
    using type = std::int64_t;
    std::int64_t operator()(const Job& job) const noexcept { return job.expiry_ns; }
  };
  using ExpirySet = boost::intrusive::multiset<Job, boost::intrusive::member_hook<Job, ExpiryHook, &Job::expiry_hook>,
                                               boost::intrusive::key_of_value<ByExpiry>>;

  // WorkerEvents, FleetEvents
  void on_answer(Worker& worker, Job& job, const WorkerAnswer& answer) override;
  void on_begun(Job& job) override;
  void on_emptied(Worker& worker) override;
  void on_room(Worker& worker) override;
  [[nodiscard]] std::size_t stream_room(const Job& job) override {
    return job.client == nullptr ? SIZE_MAX : job.client->stream_room(job);
  }
  void on_stream(Job& job, ipc::ByteSpan first, ipc::ByteSpan second) override {
    if (job.client != nullptr) job.client->on_stream(job, first, second);
  }
  [[nodiscard]] bool on_memory_wanted(Job& job, std::uint64_t bytes) override;
  void on_stack(Worker& /*worker*/, Job& /*job*/) override { stack_ready_.notify_all(); }
  void on_serving(Worker& worker) override;
  void on_retiring(Worker& worker) override;
  void on_dead(Worker& worker, Cause cause) override;

  // pool.cpp: admission and answers
  [[nodiscard]] Result<void> set_limits(Job& job, const wire::JobOptions& options) const;
  [[nodiscard]] Result<void> admits(const Job& job) const;
  void succeed(Job& job, const WorkerAnswer& answer);
  void fail(Job& job, Error error);
  void settle(Job& job);
  void set_mode(Mode mode);
  [[nodiscard]] Error stopped_early(const Job& job) const;

  // pool_dispatch.cpp: who runs what, and whose worker died
  void dispatch();
  [[nodiscard]] Worker* pick() const noexcept;
  [[nodiscard]] std::uint32_t window() const noexcept;
  void steal_for(Worker& idle);
  [[nodiscard]] bool move_newest(Worker& from, Worker& to);
  void take_back(Worker& worker);
  void requeue(Job& job);
  void settle_dead(Job& job, bool begun, pid_t worker_pid, Cause cause);
  [[nodiscard]] bool try_again(Job& job, CauseKind cause);

  // pool_memory.cpp: reservations
  void wait_for_memory(Job& job);
  void grant_memory();
  void end_memory_wait(Job& job);
  void give_back_memory(Job& job);
  void stop_waiting_for_memory();
  void warn_of_small_budget() const;

  // pool_time.cpp: limits, slow jobs, progress
  void ask_to_stop(Job& job, CauseKind why);
  void watch_until(Job& job, std::int64_t expiry_ns);
  void arm(std::int64_t at_ns);
  void on_timer();
  [[nodiscard]] std::int64_t end_if_due(Worker& worker, std::int64_t now);
  void end_unwilling(Job& job);
  void move_on(Job& job, Worker& stuck);
  void expire(Job& job, std::int64_t now);
  void report_slow(Job& job, std::int64_t now);
  [[nodiscard]] boost::asio::awaitable<void> log_slow(std::uint64_t job_id, std::string kind, pid_t pid,
                                                      std::uint32_t attempt, std::int64_t running_ms);
  [[nodiscard]] boost::asio::awaitable<std::string> stack_text(std::uint64_t job_id, pid_t pid);
  void tell_progress();

  boost::asio::io_context& io_;
  JobStore& store_;
  Quarantine& quarantine_;
  PoolConfig config_;
  std::vector<std::unique_ptr<Kind>> kinds_;
  JobQueue queue_;
  MemoryBudget memory_;
  ExpirySet expiries_;
  AsyncEvent room_;
  AsyncEvent stack_ready_;  // some worker has stored its stack
  boost::asio::steady_timer timer_;
  std::int64_t armed_ns_ = INT64_MAX;
  std::uint32_t progress_watchers_ = 0;  // running jobs whose client asked for progress
  std::int64_t next_progress_ns_ = INT64_MAX;
  ServiceTime service_;                     // of all its jobs
  std::vector<ServiceTime> kind_services_;  // by the kind's index
  Mode mode_ = Mode::kRunning;
  PoolFacts facts_;
  Fleet fleet_;
};

}  // namespace quern::supervisor
