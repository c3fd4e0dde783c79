// The part of Pool that lends memory to running jobs (supervisor/memory_budget.h), and stops their clocks while
// they wait for it.
//
// A job that waits keeps its worker, for it has begun and can't be taken back; but what its worker has not begun can,
// and is, so that nobody waits behind it who needs no memory. Its clock is stopped: the wait counts as being queued,
// and is bounded by what its queue timeout has left, and by its deadline.
#include <algorithm>
#include <vector>

#include "common/clock.h"
#include "common/log.h"
#include "ipc/reservation.h"
#include "supervisor/pool.h"

namespace quern::supervisor {

// False: no correct worker asks so.
bool Pool::on_memory_wanted(Job& job, std::uint64_t bytes) {
  const std::uint64_t most = ipc::MemoryWord{.pages = ipc::pages_of(memory_.bytes_max())}.bytes();
  if (bytes > most || job.memory == MemoryState::kWaiting) return false;
  if (job.memory == MemoryState::kGranted && bytes <= job.memory_bytes) {
    memory_.lower(job, bytes);
    job.worker->grant_memory();  // it may wait: a word that gave back more in between was not looked at
    grant_memory();
    return true;
  }
  if (bytes <= ipc::kMemoryShareBytes) return false;
  memory_.release(job);  // likewise
  if (job.stop == CauseKind::kNone) {
    memory_.ask(job, bytes);
    job.memory_asked_ns = now_ns();
  }
  grant_memory();
  if (job.memory == MemoryState::kWaiting) wait_for_memory(job);
  return true;
}

void Pool::wait_for_memory(Job& job) {
  ++facts_.waited_for_memory;
  if (mode_ == Mode::kStopping) return ask_to_stop(job, CauseKind::kSupervisorStopping);
  // begun_ns is moved on by each wait, so that all of them together use up the queue timeout
  const std::int64_t left_ns = std::max<std::int64_t>(0, job.queue_expiry_ns - job.begun_ns);
  watch_until(job, std::min(job.memory_asked_ns + left_ns, job.deadline_ns));
  take_back(*job.worker);
  dispatch();
}

// Hands out what there is, in the order of the line.
void Pool::grant_memory() {
  if (memory_.waiting() == 0) return;
  const auto alive = std::ranges::count_if(fleet_.workers(), [](const auto& worker) {
    return worker->state() == Worker::State::kServing || worker->state() == Worker::State::kRetiring;
  });
  while (Job* job = memory_.grant_next(static_cast<std::size_t>(alive))) {
    end_memory_wait(*job);
    watch_until(*job, std::min(job->run_expiry_ns, job->slow_ns));
    job->worker->grant_memory();
  }
}

// Its clock goes on where it was stopped.
void Pool::end_memory_wait(Job& job) {
  const std::int64_t waited_ns = now_ns() - job.memory_asked_ns;
  job.memory_waited_ns += waited_ns;
  job.begun_ns += waited_ns;
  job.run_expiry_ns = std::min(job.begun_ns + job.run_timeout_ms * kNsPerMs, job.deadline_ns);
  if (job.slow_ns != INT64_MAX) job.slow_ns += waited_ns;
}

// All of the line leaves it before any of it hears of that: the place of one is not the next one's turn.
void Pool::stop_waiting_for_memory() {
  std::vector<Job*> waiting;
  for (const auto& worker : fleet_.workers()) {
    Job* job = worker->running();
    if (job == nullptr || job->memory != MemoryState::kWaiting) continue;
    end_memory_wait(*job);
    (void)memory_.release(*job);
    waiting.push_back(job);
  }
  for (Job* job : waiting) ask_to_stop(*job, CauseKind::kSupervisorStopping);
}

void Pool::warn_of_small_budget() const {
  const std::uint64_t shares = fleet_.target() * ipc::kMemoryShareBytes;
  if (memory_.bytes_max() == 0 || shares < memory_.bytes_max()) return;
  log_event(LogLevel::kWarn, "memory_budget_small",
            {{"pool", config_.name},
             {"memory_budget_bytes", memory_.bytes_max()},
             {"workers", fleet_.target()},
             {"shares_bytes", shares}});
}

// Whatever it has or waits for; with its worker's death, its answer, or a request to stop.
void Pool::give_back_memory(Job& job) {
  if (memory_.release(job)) grant_memory();
}

}  // namespace quern::supervisor
