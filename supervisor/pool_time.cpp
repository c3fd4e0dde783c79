// The part of Pool that looks at the clock: limits, slow jobs, progress.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <string>
#include <vector>

#include "common/clock.h"
#include "common/log.h"
#include "supervisor/pool.h"

namespace quern::supervisor {
namespace {

constexpr std::int64_t kProgressPeriodNs = 100 * kNsPerMs;
// How long a slow job's worker may take to tell where it is.
constexpr auto kStackWait = std::chrono::milliseconds(500);

}  // namespace

void Pool::on_begun(Job& job) {
  job.running = true;
  if (job.want_progress && progress_watchers_++ == 0) {
    next_progress_ns_ = now_ns() + kProgressPeriodNs;
    arm(next_progress_ns_);
  }
  job.begun_ns = now_ns();
  job.run_expiry_ns = std::min(job.begun_ns + job.run_timeout_ms * kNsPerMs, job.deadline_ns);
  job.slow_ns = config_.slow_job_ms == 0 ? INT64_MAX : job.begun_ns + config_.slow_job_ms * kNsPerMs;
  watch_until(job, std::min(job.run_expiry_ns, job.slow_ns));
}

// A moment's work for a worker that is well. One that is not would be given no job, if this filled its window, and
// nothing of it would ever run out of time.
void Pool::on_emptied(Worker& worker) {
  if (worker.state() != Worker::State::kServing) return;  // the retiring have a bound already
  worker.kill_at_ns = now_ns() + config_.cancel_grace_ms * kNsPerMs;
  arm(worker.kill_at_ns);
}

void Pool::ask_to_stop(Job& job, CauseKind why) {
  job.stop = why;
  if (job.memory == MemoryState::kWaiting) {
    end_memory_wait(job);
    give_back_memory(job);
  }
  job.worker->request_stop(job);
  watch_until(job, now_ns() + config_.cancel_grace_ms * kNsPerMs);
}

void Pool::watch_until(Job& job, std::int64_t expiry_ns) {
  if (job.expiry_hook.is_linked()) expiries_.erase(ExpirySet::s_iterator_to(job));
  job.expiry_ns = expiry_ns;
  expiries_.insert(job);
  arm(expiry_ns);
}

// One timer for the whole pool: it is set earlier when needed, and left to fire early otherwise.
void Pool::arm(std::int64_t at_ns) {
  if (at_ns >= armed_ns_) return;
  armed_ns_ = at_ns;
  timer_.expires_at(boost::asio::steady_timer::time_point(std::chrono::nanoseconds(at_ns)));
  timer_.async_wait([this](boost::system::error_code cancelled) {
    if (!cancelled) on_timer();
  });
}

void Pool::on_timer() {
  armed_ns_ = INT64_MAX;
  const std::int64_t now = now_ns();
  // expire() moves each job it looks at to a later time, or out
  while (!expiries_.empty() && expiries_.begin()->expiry_ns <= now) expire(*expiries_.begin(), now);
  std::int64_t next = expiries_.empty() ? INT64_MAX : expiries_.begin()->expiry_ns;
  // by number: the answers that are taken meanwhile may let the fleet grow
  for (std::size_t i = 0; i < fleet_.workers().size(); ++i)
    next = std::min(next, end_if_due(*fleet_.workers()[i], now));
  if (progress_watchers_ > 0 && next_progress_ns_ <= now) tell_progress();
  if (progress_watchers_ > 0) next = std::min(next, next_progress_ns_);
  arm(next);
}

// A worker that retires, or has not passed over what was taken back from it. Returns when to look again.
std::int64_t Pool::end_if_due(Worker& worker, std::int64_t now) {
  if (worker.kill_at_ns == INT64_MAX) return INT64_MAX;
  const bool retires = worker.state() == Worker::State::kRetiring;
  if (retires && worker.running() != nullptr) {
    worker.kill_at_ns = now + config_.cancel_grace_ms * kNsPerMs;  // its job has limits of its own
    return worker.kill_at_ns;
  }
  if (now < worker.kill_at_ns) return worker.kill_at_ns;
  worker.kill_at_ns = INT64_MAX;
  if (retires) {
    worker.kill({CauseKind::kOperator, 0});
    return INT64_MAX;
  }
  worker.take_answers();  // which may give it more to do
  if (worker.settled()) return INT64_MAX;
  take_back(worker);                                             // nothing is given to it below this line
  if (worker.kill_at_ns != INT64_MAX) return worker.kill_at_ns;  // on_emptied: it was about to
  if (worker.passed_over()) return worker.kill_at_ns = now + config_.cancel_grace_ms * kNsPerMs;  // so it says
  worker.kill({CauseKind::kRunTimeout, 0});
  return INT64_MAX;
}

// The job was asked to stop, and the grace period is over. What waits behind it must not die with it.
void Pool::end_unwilling(Job& job) {
  Worker& worker = *job.worker;
  const std::uint64_t position = job.position;
  const Cause why{job.stop, 0};
  watch_until(job, INT64_MAX);
  take_back(worker);
  if (job.worker == nullptr) {  // it was begun, and is not any more: a lie
    worker.kill({CauseKind::kChannelCorrupt, 0});
    queue_.remove(job);
    room_.notify_all();
    fail(job, stopped_early(job));
    return;
  }
  if (worker.is_over(job)) worker.take_answers();  // at the last moment; what follows it may have begun
  if (!worker.has_taken(position)) worker.kill(why);
}

// First in the ring for its whole run timeout, and not even begun: it waits elsewhere. The worker has the grace period
// to show that it was only late (on_emptied).
void Pool::move_on(Job& job, Worker& stuck) {
  take_back(stuck);
  // its place in the queue was paid for once; but not for as long as workers say that they have not begun
  if (job.moves++ < job.attempts_max) {
    job.queue_expiry_ns = std::max(job.queue_expiry_ns, now_ns() + job.queue_timeout_ms * kNsPerMs);
  }
  requeue(job);
  dispatch();
}

void Pool::expire(Job& job, std::int64_t now) {
  const bool waits_for_memory = job.memory == MemoryState::kWaiting;
  if (job.running && now >= job.slow_ns && job.stop == CauseKind::kNone && !waits_for_memory) {
    job.slow_ns = INT64_MAX;
    report_slow(job, now);
    if (now < job.run_expiry_ns) return watch_until(job, job.run_expiry_ns);
  }
  const bool past_deadline = now >= job.deadline_ns;
  if (job.worker == nullptr) {
    queue_.remove(job);
    room_.notify_all();
    job.stop = past_deadline ? CauseKind::kDeadline : CauseKind::kQueueTimeout;
    fail(job, stopped_early(job));
    return;
  }
  Worker& worker = *job.worker;
  if (job.stop != CauseKind::kNone) {
    end_unwilling(job);
  } else if (worker.revoke(job)) {
    if (job.running && !past_deadline) return move_on(job, worker);
    job.stop = past_deadline ? CauseKind::kDeadline : CauseKind::kQueueTimeout;
    fail(job, stopped_early(job));
  } else if (!job.running) {
    on_begun(job);  // begun while its predecessor's answer is still unread
  } else {
    const CauseKind late = waits_for_memory ? CauseKind::kQueueTimeout : CauseKind::kRunTimeout;
    ask_to_stop(job, past_deadline ? CauseKind::kDeadline : late);
  }
}

void Pool::report_slow(Job& job, std::int64_t now) {
  ++facts_.slow;
  boost::asio::co_spawn(
      io_, log_slow(job.id, job.kind->name, job.worker->pid(), job.attempts + 1, (now - job.begun_ns) / kNsPerMs),
      boost::asio::detached);
}

boost::asio::awaitable<void> Pool::log_slow(std::uint64_t job_id, std::string kind, pid_t pid, std::uint32_t attempt,
                                            std::int64_t running_ms) {
  const std::string stack = co_await stack_text(job_id, pid);
  log_event(LogLevel::kWarn, "slow_job",
            {{"pool", config_.name},
             {"job", job_id},
             {"kind", kind},
             {"pid", pid},
             {"attempt", attempt},
             {"running_ms", running_ms},
             {"stack", stack}});
}

// The native stack of a running job, innermost first; or why there is none. Within kStackWait and the
// template's answer.
boost::asio::awaitable<std::string> Pool::stack_text(std::uint64_t job_id, pid_t pid) {
  using namespace boost::asio::experimental::awaitable_operators;
  const auto running = [&]() -> Job* {
    Job* job = find(job_id);
    return job != nullptr && job->running && job->worker != nullptr && job->worker->pid() == pid ? job : nullptr;
  };
  Job* job = running();
  std::vector<std::uint64_t> addresses;
  if (job != nullptr && job->worker->request_stack(*job)) {
    const auto deadline = std::chrono::steady_clock::now() + kStackWait;
    boost::asio::steady_timer patience(io_, deadline);
    while ((job = running()) != nullptr && !job->worker->stack_of(*job, addresses) &&
           std::chrono::steady_clock::now() < deadline) {
      co_await (stack_ready_.wait() || patience.async_wait(boost::asio::use_awaitable));
    }
  }
  if (job == nullptr) co_return "the job ended before it was asked";
  if (addresses.empty()) co_return "the job's module does not let itself be asked";
  const auto lines = co_await fleet_.symbolize(*job->worker, addresses);
  if (!lines) co_return to_string(lines.error());
  co_return fmt::format("{}", fmt::join(*lines, " < "));
}

void Pool::tell_progress() {
  next_progress_ns_ = now_ns() + kProgressPeriodNs;
  for (const auto& worker : fleet_.workers()) {
    Job* job = worker->running();
    wire::Progress progress;
    if (job == nullptr || !job->want_progress || job->client == nullptr) continue;
    if (!worker->progress_of(*job, progress) || progress == job->progress) continue;
    job->client->on_progress(*job, progress);
    job->progress = std::move(progress);
  }
}

}  // namespace quern::supervisor
