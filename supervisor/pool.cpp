#include "supervisor/pool.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "common/clock.h"
#include "common/log.h"
#include "ipc/reservation.h"

namespace quern::supervisor {

namespace asio = boost::asio;

namespace {

// Weight of the newest job in the moving average of service times.
constexpr double kServiceWeight = 1.0 / 16;
// How fast the fastest time rises again towards the newest.
constexpr double kForgetWeight = 1.0 / 256;
// An estimate of waiting time is believed when even its half is too long: kinds and inputs differ.
constexpr double kEstimateTrust = 0.5;

}  // namespace

void ServiceTime::note(double run_ns) noexcept {
  if (average_ns == 0) {
    average_ns = fastest_ns = run_ns;
    return;
  }
  average_ns += (run_ns - average_ns) * kServiceWeight;
  fastest_ns = run_ns < fastest_ns ? run_ns : fastest_ns + (run_ns - fastest_ns) * kForgetWeight;
}

Pool::Pool(asio::io_context& io, ChildRegistry& registry, JobStore& store, Quarantine& quarantine, PoolConfig config,
           FleetOptions fleet)
    : io_(io),
      store_(store),
      quarantine_(quarantine),
      config_(std::move(config)),
      queue_({.jobs_max = config_.queue_jobs_max,
              .bytes_max = config_.queue_bytes_max,
              .aging_ns = config_.priority_aging_ms * kNsPerMs}),
      memory_(config_.memory_budget_bytes, ipc::kMemoryShareBytes),
      room_(io),
      stack_ready_(io),
      timer_(io),
      fleet_(io, registry, std::move(fleet), *this, *this) {}

Pool::~Pool() {
  expiries_.clear_and_dispose([](Job* job) { delete job; });
}

asio::awaitable<Result<void>> Pool::start() {
  auto loaded = co_await fleet_.start();
  if (!loaded) co_return loaded.error();
  for (LoadedKind& kind : *loaded) {
    kinds_.push_back(std::make_unique<Kind>(Kind{.name = std::move(kind.name),
                                                 .description_json = std::move(kind.description_json),
                                                 .index = static_cast<std::uint32_t>(kinds_.size()),
                                                 .sensitive = kind.sensitive,
                                                 .canary = kind.canary,
                                                 .pool = this}));
  }
  kind_services_.resize(kinds_.size());
  warn_of_small_budget();
  co_return Result<void>();
}

const Kind* Pool::canary() const noexcept {
  const auto at = std::ranges::find_if(kinds_, [](const auto& kind) { return kind->canary; });
  return at == kinds_.end() ? nullptr : at->get();
}

// ---- Admission -------------------------------------------------------------------------------------

Result<void> Pool::set_limits(Job& job, const wire::JobOptions& options) const {
  const auto bad = [](std::string_view field, std::string_view allowed) {
    return Error{.code = ErrorCode::kInvalidArgument,
                 .message = fmt::format("{} must be {}", field, allowed),
                 .field = std::string(field)};
  };
  if (options.priority > wire::kPriorityMax) return bad("priority", "between 0 and 9");
  if (options.attempts && (*options.attempts < 1 || *options.attempts > kAttemptsMax)) {
    return bad("attempts", "between 1 and 10");
  }
  if (options.queue_timeout_ms == 0U) return bad("queue_timeout_ms", "at least 1");
  if (options.run_timeout_ms == 0U) return bad("run_timeout_ms", "at least 1");
  if (options.deadline_ms == 0U) return bad("deadline_ms", "at least 1");
  job.priority = options.priority;
  job.want_progress = options.want_progress;
  // what a dead worker has done to a shared buffer stays done: who wants it twice says so
  job.attempts_max = options.attempts.value_or(job.shared.empty() ? config_.attempts : 1);
  job.retry_on = options.retry_on.value_or(config_.retry_on);
  job.run_timeout_ms = std::min(options.run_timeout_ms.value_or(config_.run_timeout_ms), config_.run_timeout_ms);
  job.result_bytes_max = config_.result_bytes_max;
  job.accepted_ns = now_ns();
  job.queue_timeout_ms =
      std::min(options.queue_timeout_ms.value_or(config_.queue_timeout_ms), config_.queue_timeout_ms);
  job.queue_expiry_ns = job.accepted_ns + job.queue_timeout_ms * kNsPerMs;
  if (options.deadline_ms) job.deadline_ns = job.accepted_ns + *options.deadline_ms * kNsPerMs;
  job.expected_run_ns = kind_services_[job.kind->index].average_ns;
  return {};
}

// Refuses what would only wait for its failure.
Result<void> Pool::admits(const Job& job) const {
  if (fleet_.down()) {
    const std::uint32_t wait_ms = fleet_.ms_to_next_start();
    return Error{.code = ErrorCode::kUnavailable,
                 .message = fmt::format("pool {} has no worker: they died in a row, the last by {}; the next start is "
                                        "in {} ms",
                                        config_.name, describe(fleet_.facts().last_death), wait_ms),
                 .cause = fleet_.facts().last_death,
                 .retry_after_ms = wait_ms};
  }
  if (job.deadline_ns == INT64_MAX) return {};
  // who is urgent does not wait behind the rest
  const double wait_ns =
      job.priority > wire::kPriorityDefault ? 0 : queue_.work_ns() / std::max<double>(1, fleet_.target());
  const double needed_ns = kEstimateTrust * wait_ns + kind_services_[job.kind->index].fastest_ns;
  if (needed_ns <= static_cast<double>(job.deadline_ns - job.accepted_ns)) return {};
  return Error{.code = ErrorCode::kTimeout,
               .message = fmt::format("the deadline can't be met: {} jobs wait, about {:.0f} ms of work, and one like "
                                      "this takes {:.0f} ms",
                                      queue_.size(), wait_ns / 1e6, kind_services_[job.kind->index].average_ns / 1e6),
               .cause = {CauseKind::kDeadline, 0},
               .retry_after_ms = retry_after_ms()};
}

Result<Pool::Admission> Pool::admission(Job& job, const wire::JobOptions& options) {
  if (mode_ == Mode::kStopping) {
    return Error{.code = ErrorCode::kShuttingDown,
                 .message = "the server is shutting down; try again elsewhere or later"};
  }
  if (mode_ == Mode::kDraining) {
    ++facts_.refused;
    return Error{.code = ErrorCode::kUnavailable,
                 .message = fmt::format("pool {} is being drained and takes no new jobs", config_.name)};
  }
  if (const auto limits = set_limits(job, options); !limits) return limits.error();
  if (const auto admitted = admits(job); !admitted) {
    ++facts_.refused;
    return admitted.error();
  }
  // a queue that does not get shorter holds nobody back
  const bool overtakes = mode_ != Mode::kPaused && queue_.overtakes(job);
  if (overtakes || queue_.full(job.client_id, job.payload_bytes)) {
    if (!options.no_wait) {
      queue_.stand_in_line(job);
      return Admission::kFull;
    }
    ++facts_.refused;
    return Error{.code = ErrorCode::kBusy,
                 .message = fmt::format("pool {} has {} jobs waiting and no place for more of this client; try again "
                                        "after {} ms",
                                        config_.name, queue_.size(), retry_after_ms()),
                 .retry_after_ms = retry_after_ms()};
  }
  leave_line(job);
  return Admission::kAccepted;
}

Result<Pool::Admission> Pool::submit(std::unique_ptr<Job>& job, const wire::JobOptions& options) {
  const auto admitted = admission(*job, options);
  if (!admitted || *admitted == Admission::kFull) return admitted;
  Job& accepted = *job.release();
  ++facts_.accepted;
  queue_.push_back(accepted);
  watch_until(accepted, std::min(accepted.queue_expiry_ns, accepted.deadline_ns));
  dispatch();
  return Admission::kAccepted;
}

std::uint32_t Pool::retry_after_ms() const noexcept {
  const double workers = std::max<double>(1, fleet_.target());
  const double wait_ms = (queue_.work_ns() + service_.average_ns) / workers / 1e6;
  return static_cast<std::uint32_t>(std::clamp(wait_ms, 1.0, 60'000.0));
}

void Pool::cancel(Job& job, CauseKind why) {
  if (why == CauseKind::kClientGone) job.client = nullptr;
  if (job.worker == nullptr) {
    queue_.remove(job);
    room_.notify_all();
  } else if (!job.worker->revoke(job)) {
    if (job.stop == CauseKind::kNone) ask_to_stop(job, why);
    return;
  }
  job.stop = why;
  fail(job, stopped_early(job));
}

Job* Pool::find(std::uint64_t job_id) noexcept {
  const auto at = std::ranges::find(expiries_, job_id, &Job::id);
  return at == expiries_.end() ? nullptr : &*at;
}

// ---- Answers ---------------------------------------------------------------------------------------

void Pool::on_answer(Worker& worker, Job& job, const WorkerAnswer& answer) {
  ++job.attempts;
  // the worker's word: bounded, so that no lie makes us wait for ever
  const double run_ns = static_cast<double>(std::min(answer.run_ns, std::uint64_t{3'600'000'000'000}));
  fleet_.job_finished(worker);
  quarantine_.note_answer(job);
  if (!answer.error) {
    service_.note(run_ns);
    kind_services_[job.kind->index].note(run_ns);
    succeed(job, answer);
  } else if (answer.error->code == ErrorCode::kCancelled && job.stop != CauseKind::kNone) {
    // it stopped because we asked it to: say why we did
    if (!try_again(job, job.stop)) fail(job, stopped_early(job));
  } else {
    fail(job, *answer.error);
  }
}

void Pool::succeed(Job& job, const WorkerAnswer& answer) {
  ++facts_.succeeded;
  const wire::ResultInfo info{
      .job_id = job.id,
      .queue_ns = static_cast<std::uint64_t>(job.published_ns - job.accepted_ns + job.memory_waited_ns),
      .run_ns = answer.run_ns,
      .attempts = job.attempts};
  if (job.client != nullptr) job.client->on_result(job, info, answer.result);
  settle(job);
}

void Pool::fail(Job& job, Error error) {
  ++facts_.failed[error.code];
  error.job_id = job.id;
  if (job.client != nullptr) job.client->on_error(job, std::move(error));
  settle(job);
}

// Requires: the job is in neither the queue nor a worker.
void Pool::settle(Job& job) {
  give_back_memory(job);
  if (job.running && job.want_progress) --progress_watchers_;
  expiries_.erase(ExpirySet::s_iterator_to(job));
  store_.release(std::unique_ptr<Job>(&job));
}

Error Pool::stopped_early(const Job& job) const {
  const Cause cause{job.stop, 0};
  switch (job.stop) {
    case CauseKind::kRunTimeout:
      return {.code = ErrorCode::kTimeout,
              .message = fmt::format("the job ran longer than its {} ms", job.run_timeout_ms),
              .cause = cause};
    case CauseKind::kQueueTimeout:
      if (job.memory_bytes > 0) {
        return {
            .code = ErrorCode::kTimeout,
            .message = fmt::format("the {} bytes of memory that the job needs were not free in time: others have {} "
                                   "of the {} of pool {} (memory_budget_bytes)",
                                   job.memory_bytes, memory_.reserved_bytes(), memory_.bytes_max(), config_.name),
            .cause = cause,
            .retry_after_ms = retry_after_ms()};
      }
      return {.code = ErrorCode::kTimeout,
              .message = fmt::format("no worker of pool {} was free in time; it has {} jobs waiting", config_.name,
                                     queue_.size()),
              .cause = cause,
              .retry_after_ms = retry_after_ms()};
    case CauseKind::kDeadline:
      return {.code = ErrorCode::kTimeout, .message = "the job's deadline passed", .cause = cause};
    case CauseKind::kSupervisorStopping:
      return {
          .code = ErrorCode::kShuttingDown, .message = "the server shut down before the job was done", .cause = cause};
    case CauseKind::kOperator:
      return {.code = ErrorCode::kCancelled, .message = "an operator cancelled the job", .cause = cause};
    default: return {.code = ErrorCode::kCancelled, .message = "the job was cancelled", .cause = cause};
  }
}

// ---- Operators -------------------------------------------------------------------------------------

Result<void> Pool::resize(std::uint32_t workers) {
  if (workers < 1 || workers > config_.workers_max) {
    return Error{.code = ErrorCode::kInvalidArgument,
                 .message = fmt::format("workers must be between 1 and {} (pools.{}.workers_max)", config_.workers_max,
                                        config_.name),
                 .field = "workers"};
  }
  log_event(LogLevel::kInfo, "pool_resized", {{"pool", config_.name}, {"from", fleet_.target()}, {"to", workers}});
  fleet_.resize(workers);
  warn_of_small_budget();
  return {};
}

void Pool::set_mode(Mode mode) {
  if (mode_ == Mode::kStopping || mode_ == mode) return;
  constexpr std::string_view kWords[] = {"running", "paused", "draining", "stopping"};
  mode_ = mode;
  log_event(LogLevel::kInfo, "pool_mode", {{"pool", config_.name}, {"mode", kWords[static_cast<std::size_t>(mode)]}});
  if (mode == Mode::kPaused) {
    for (const auto& worker : fleet_.workers()) take_back(*worker);
  }
  dispatch();
  room_.notify_all();
}

void Pool::stop() {
  set_mode(Mode::kStopping);
  for (const auto& worker : fleet_.workers()) take_back(*worker);
  stop_waiting_for_memory();
  while (!queue_.empty()) {
    Job& job = queue_.pop(0);
    job.stop = CauseKind::kSupervisorStopping;
    fail(job, stopped_early(job));
  }
  fleet_.stop();
}

}  // namespace quern::supervisor
