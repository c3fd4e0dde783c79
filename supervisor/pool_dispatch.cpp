// The part of Pool that decides who runs what, and what becomes of jobs whose worker is gone.
#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "common/clock.h"
#include "common/log.h"
#include "supervisor/pool.h"

namespace quern::supervisor {
namespace {

// How much work a worker may hold beyond what it runs. Enough to hide the supervisor's round trip (two
// wake-ups, ~50 us); little enough that nobody notices waiting behind it.
constexpr double kPrefetchNs = 200'000;
// How many bytes of jobs a worker may hold beyond what it runs: part of the memory ceiling.
constexpr std::uint64_t kPrefetchBytes = 1U << 20;

bool waits_for_memory(const Worker& worker) {
  const Job* job = worker.running();
  return job != nullptr && job->memory == MemoryState::kWaiting;
}

}  // namespace

// ---- Dispatch --------------------------------------------------------------------------------------

void Pool::dispatch() {
  if (mode_ == Mode::kPaused || queue_.empty()) return;
  const std::int64_t now = now_ns();
  while (!queue_.empty()) {
    Worker* worker = pick();
    if (worker == nullptr) break;
    Job& job = queue_.pop(now);
    if (worker->in_flight() > 0 && worker->bytes_in_flight() + job.payload_bytes > kPrefetchBytes) {
      queue_.push_front(job);
      break;
    }
    if (static_cast<double>(job.deadline_ns - now) < kind_services_[job.kind->index].fastest_ns) {
      job.stop = CauseKind::kDeadline;  // it would only burn processor time
      fail(job, stopped_early(job));
      continue;
    }
    const auto published = worker->publish(job, now);
    if (!published) {
      fail(job, published.error());
    } else if (!*published) {
      queue_.push_front(job);  // its ring or its socket is full: its next answer dispatches again
      break;
    }
  }
  room_.notify_all();
}

// The least busy worker that has room, or null. Who waits for memory has none.
Worker* Pool::pick() const noexcept {
  Worker* best = nullptr;
  std::uint32_t best_in_flight = window();
  for (const auto& worker : fleet_.workers()) {
    if (worker->state() != Worker::State::kServing || worker->in_flight() >= best_in_flight) continue;
    if (worker->in_flight() > 0 && memory_.waiting() > 0 && waits_for_memory(*worker)) continue;
    best = worker.get();
    best_in_flight = worker->in_flight();
    if (best_in_flight == 0) break;
  }
  return best;
}

// How many jobs a worker may hold, the running one included.
std::uint32_t Pool::window() const noexcept {
  if (service_.average_ns <= 0) return 1;
  const double jobs = 1 + kPrefetchNs / std::max(service_.average_ns, 1.0);
  return static_cast<std::uint32_t>(std::min<double>(jobs, ipc::kSlotsMax));
}

// Nothing is queued and `idle` has nothing to do: the busiest worker's newest job goes to it. The busiest may have
// begun all that it has, or wait for memory with what was taken back still in its ring: then it is another's.
void Pool::steal_for(Worker& idle) {
  Worker* busiest = nullptr;
  for (const auto& worker : fleet_.workers()) {
    if (busiest == nullptr || worker->in_flight() > busiest->in_flight()) busiest = worker.get();
  }
  if (busiest == nullptr || busiest->in_flight() < 2 || move_newest(*busiest, idle)) return;
  for (const auto& worker : fleet_.workers()) {
    if (worker->in_flight() >= 2 && move_newest(*worker, idle)) return;
  }
}

// False: `from` has begun all that it has.
bool Pool::move_newest(Worker& from, Worker& to) {
  Job* newest = nullptr;
  from.for_each_job([&](Job& job) { newest = &job; });
  if (newest == nullptr || newest->running || !from.revoke(*newest)) return false;
  const auto published = to.publish(*newest, now_ns());
  if (!published || !*published) requeue(*newest);
  return true;
}

void Pool::on_room(Worker& worker) {
  dispatch();
  if (worker.in_flight() == 0 && worker.state() == Worker::State::kServing && mode_ != Mode::kPaused) steal_for(worker);
}

void Pool::on_serving(Worker& worker) { on_room(worker); }

void Pool::on_retiring(Worker& worker) {
  take_back(worker);
  arm(worker.kill_at_ns);
  dispatch();
}

// Revokes what `worker` has not begun, and queues it again in its order.
void Pool::take_back(Worker& worker) {
  std::vector<Job*> revoked;
  worker.for_each_job([&](Job& job) {
    if (worker.revoke(job)) revoked.push_back(&job);
  });
  for (auto job = revoked.rbegin(); job != revoked.rend(); ++job) requeue(**job);
}

void Pool::requeue(Job& job) {
  give_back_memory(job);
  job.memory_bytes = 0;
  job.memory_waited_ns = 0;
  if (job.running && job.want_progress) --progress_watchers_;
  job.running = false;
  job.slow_ns = INT64_MAX;
  job.worker = nullptr;
  queue_.push_front(job);
  watch_until(job, std::min(job.queue_expiry_ns, job.deadline_ns));
}

// ---- Deaths ----------------------------------------------------------------------------------------

void Pool::on_dead(Worker& worker, Cause cause) {
  struct Left {
    Job* job;
    bool begun;
  };
  std::vector<Left> left;
  worker.for_each_job([&](Job& job) { left.push_back({&job, worker.begun(job)}); });
  for (auto each = left.rbegin(); each != left.rend(); ++each)
    settle_dead(*each->job, each->begun, worker.pid(), cause);
  grant_memory();  // its share is free
  dispatch();
}

// A job whose worker died: tried again, or answered.
void Pool::settle_dead(Job& job, bool begun, pid_t worker_pid, Cause cause) {
  job.worker = nullptr;
  if (begun) {
    ++job.attempts;
    job.last_death = cause;
    quarantine_.note_death(job, worker_pid, cause, config_.quarantine_deaths);
  }
  if (mode_ == Mode::kStopping && job.stop == CauseKind::kNone) job.stop = CauseKind::kSupervisorStopping;
  const CauseKind why = job.stop != CauseKind::kNone ? job.stop : cause.kind;
  if (!begun && job.stop == CauseKind::kNone) {
    requeue(job);
  } else if (try_again(job, why)) {
    return;
  } else if (job.stop != CauseKind::kNone) {
    fail(job, stopped_early(job));
  } else {
    const bool memory = cause.kind == CauseKind::kOutOfMemory;
    std::string message = fmt::format("the worker died on attempt {} of {}; {}", job.attempts, job.attempts_max,
                                      memory ? "the job needs more memory than its pool grants (memory_bytes_max)"
                                             : "the input or the job module is at fault");
    if (job.streamed_bytes > 0) {
      message += fmt::format("; it is not run again, as {} bytes of its result were on their way", job.streamed_bytes);
    }
    fail(job, {.code = memory ? ErrorCode::kOutOfMemory : ErrorCode::kWorkerCrashed,
               .message = std::move(message),
               .cause = cause});
  }
}

// Queues a job once more whose attempt ended by `cause`, if it has attempts left and allows it.
// Requires: the job is in neither the queue nor a worker.
bool Pool::try_again(Job& job, CauseKind cause) {
  if (job.attempts >= job.attempts_max || job.client == nullptr || mode_ == Mode::kStopping) return false;
  if (job.streamed_bytes > 0) return false;  // what its client has of it can't be taken back
  if (!may_retry(job.retry_on, cause)) return false;
  if (job.stop != CauseKind::kNone && job.stop != CauseKind::kRunTimeout) return false;
  ++facts_.retried;
  job.stop = CauseKind::kNone;
  // its place in the queue was paid for once
  job.queue_expiry_ns = std::max(job.queue_expiry_ns, now_ns() + job.queue_timeout_ms * kNsPerMs);
  requeue(job);
  return true;
}

}  // namespace quern::supervisor
