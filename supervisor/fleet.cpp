#include "supervisor/fleet.h"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstring>
#include <utility>

#include "common/clock.h"
#include "common/log.h"

namespace quern::supervisor {

namespace asio = boost::asio;

namespace {

// How long before another try when a worker could not even be asked for.
constexpr Backoff::Duration kRetryDelay{100};
// Without a death for so long, a row of deaths is over.
constexpr auto kCalm = std::chrono::seconds(30);
// Workers of one age should not all be replaced at once: limits differ by up to this part.
constexpr double kLimitJitter = 0.2;

// Whether a death says that the pool's code is broken, and not that we wanted the worker gone.
bool is_crash(Cause cause) noexcept {
  switch (cause.kind) {
    case CauseKind::kExited:
    case CauseKind::kSignaled:
    case CauseKind::kOutOfMemory:
    case CauseKind::kSandboxViolation:
    case CauseKind::kChannelCorrupt: return true;
    default: return false;
  }
}

}  // namespace

Fleet::Fleet(asio::io_context& io, ChildRegistry& registry, FleetOptions options, WorkerEvents& worker_events,
             FleetEvents& events)
    : io_(io),
      registry_(registry),
      options_(std::move(options)),
      worker_events_(worker_events),
      events_(events),
      retry_timer_(io),
      calm_timer_(io),
      changed_(io) {}

// ---- The template ----------------------------------------------------------------------------------

asio::awaitable<Result<std::vector<LoadedKind>>> Fleet::start() {
  if (options_.template_options.processes) {
    if (const auto adopts = adopt_orphans(registry_, processes_); !adopts) co_return adopts.error();
  }
  auto started = TemplateProcess::start(io_, registry_, options_.template_options);
  if (!started) co_return started.error();
  auto kinds = co_await (*started)->load();
  if (!kinds) co_return kinds.error();
  kinds_ = *kinds;
  adopt(std::move(*started));
  fill();
  co_return kinds;
}

void Fleet::adopt(std::unique_ptr<TemplateProcess> fresh) {
  template_ = fresh.get();
  ++templates_alive_;
  asio::co_spawn(io_, mind_template(std::move(fresh)), asio::detached);
}

asio::awaitable<void> Fleet::mind_template(std::unique_ptr<TemplateProcess> process) {
  const Cause cause = co_await process->mind(*this);
  --templates_alive_;
  const bool current = template_ == process.get();
  if (current) template_ = nullptr;
  const auto abandoned = std::erase_if(workers_, [&](const auto& worker) {
    if (worker->state() != Worker::State::kSpawning || worker->template_pid != process->pid()) return false;
    worker->abandon();
    registry_.birth_settled();
    return true;
  });
  if (abandoned > 0) registry_.sweep_strangers_for_a_while(io_);  // if they were born, they exit
  if (current && !stopping_) {
    log_event(LogLevel::kWarn, "template_died",
              {{"pool", options_.template_options.pool}, {"pid", process->pid()}, {"cause", describe(cause)}});
    asio::co_spawn(io_, revive_template(), asio::detached);
  }
  changed_.notify_all();
}

asio::awaitable<void> Fleet::revive_template() {
  while (!stopping_ && template_ == nullptr) {
    const auto delay = template_backoff_.after_death(random());
    asio::steady_timer timer(io_, delay);
    co_await timer.async_wait(asio::use_awaitable);
    if (stopping_ || template_ != nullptr) break;
    auto started = TemplateProcess::start(io_, registry_, options_.template_options);
    Result<std::vector<LoadedKind>> kinds = std::vector<LoadedKind>{};
    if (started) kinds = co_await (*started)->load();
    if (!started || !kinds || *kinds != kinds_) {
      const std::string reason = !started ? to_string(started.error())
                                 : !kinds ? to_string(kinds.error())
                                          : "its modules on disk changed; restart quernd to load them";
      log_event(LogLevel::kError, "template_failed", {{"pool", options_.template_options.pool}, {"reason", reason}});
      continue;
    }
    if (stopping_ || template_ != nullptr) break;  // a rolling restart has brought its own meanwhile
    template_backoff_.reset();
    adopt(std::move(*started));
    log_event(LogLevel::kInfo, "template_restarted",
              {{"pool", options_.template_options.pool}, {"pid", template_->pid()}});
    fill();
  }
}

asio::awaitable<Result<std::vector<std::string>>> Fleet::symbolize(const Worker& worker,
                                                                   std::span<const std::uint64_t> addresses) {
  const pid_t asked_pid = worker.template_pid;
  const auto asked_template = [&] { return template_ != nullptr && template_->pid() == asked_pid; };
  if (!asked_template()) {
    co_return Error{.code = ErrorCode::kUnavailable, .message = "the template that forked this worker is gone"};
  }
  const std::uint64_t id = next_symbols_++;
  if (const auto asked = template_->request_symbols(id, addresses); !asked) co_return asked.error();
  symbols_[id] = std::nullopt;
  while (!symbols_[id] && asked_template()) co_await changed_.wait();
  const auto found = symbols_.extract(id);
  if (!found.mapped()) {
    co_return Error{.code = ErrorCode::kUnavailable, .message = "the template died before it had named the addresses"};
  }
  co_return std::move(*found.mapped());
}

void Fleet::on_symbols(std::uint64_t id, std::vector<std::string> lines) {
  if (const auto asked = symbols_.find(id); asked != symbols_.end()) asked->second = std::move(lines);
  changed_.notify_all();
}

// ---- Births ----------------------------------------------------------------------------------------

void Fleet::fill() {
  if (stopping_ || template_ == nullptr) return;
  const std::int64_t now = now_ns();
  if (live() < options_.workers && now < not_before_ns_) {
    retry_later(std::chrono::duration_cast<Backoff::Duration>(std::chrono::nanoseconds(not_before_ns_ - now)) +
                Backoff::Duration{1});
    return;
  }
  while (live() < options_.workers) {
    if (spawn_one() == nullptr) return;
  }
}

Worker* Fleet::spawn_one() {
  auto worker = Worker::create(io_, options_.geometry, next_incarnation_, worker_events_, options_.closer,
                               options_.memory_budget_bytes);
  Result<void> asked = worker ? template_->request_spawn(**worker) : Result<void>(worker.error());
  if (!asked) {
    log_event(LogLevel::kError, "spawn_failed",
              {{"pool", options_.template_options.pool}, {"reason", to_string(asked.error())}});
    retry_later(kRetryDelay);
    return nullptr;
  }
  ++next_incarnation_;
  (*worker)->spawn_requested_ns = now_ns();
  if (options_.worker_jobs_max > 0) {
    const double limit = options_.worker_jobs_max * (1 - kLimitJitter / 2 + kLimitJitter * random());
    (*worker)->jobs_limit = std::max<std::uint64_t>(1, static_cast<std::uint64_t>(limit));
  }
  registry_.birth_asked();
  return workers_.emplace_back(std::move(*worker)).get();
}

void Fleet::retry_later(Backoff::Duration delay) {
  retry_timer_.expires_after(delay);
  retry_timer_.async_wait([this](boost::system::error_code cancelled) {
    if (!cancelled) fill();
  });
}

void Fleet::on_spawned(std::uint64_t incarnation, pid_t pid, unique_fd pidfd) {
  auto process = std::make_unique<Process>(io_, registry_, pid, std::move(pidfd));
  Worker* worker = find(incarnation);
  if (worker == nullptr) return;  // given up meanwhile; ~Process ends it
  registry_.birth_settled();
  worker->attach(std::move(process), confine(pid), options_.template_options.processes ? &processes_ : nullptr);
  if (death_noticed_ns_ != 0) {
    facts_.last_respawn_ns = now_ns() - death_noticed_ns_;
    ++facts_.respawns;
    death_noticed_ns_ = 0;
  }
  asio::co_spawn(io_, mind_worker(*worker), asio::detached);
  if (stopping_ || live() > options_.workers + surplus_) {
    retire(*worker);
  } else {
    events_.on_serving(*worker);
  }
  changed_.notify_all();
}

// Before the worker is given a job. Without its cgroup it still serves, with its limit on address space.
std::optional<CgroupLeaf> Fleet::confine(pid_t pid) {
  if (options_.cgroups == nullptr) return std::nullopt;
  auto leaf = options_.cgroups->make_leaf(options_.template_options.memory_bytes_max);
  Result<void> added = leaf ? leaf->add(pid) : Result<void>(leaf.error());
  if (!added) {
    if (!cgroups_failed_) {
      log_event(LogLevel::kWarn, "cgroup_failed",
                {{"pool", options_.template_options.pool}, {"reason", to_string(added.error())}});
    }
    cgroups_failed_ = true;
    return std::nullopt;
  }
  cgroups_failed_ = false;
  return std::move(*leaf);
}

MemoryCap Fleet::memory_cap() const noexcept {
  if (options_.template_options.memory_bytes_max == 0) return MemoryCap::kNone;
  return options_.cgroups != nullptr && !cgroups_failed_ ? MemoryCap::kCgroup : MemoryCap::kRlimit;
}

void Fleet::on_spawn_failed(std::uint64_t incarnation, int error_number) {
  Worker* worker = find(incarnation);
  if (worker == nullptr) return;
  log_event(LogLevel::kError, "spawn_failed",
            {{"pool", options_.template_options.pool}, {"reason", std::string(::strerrordesc_np(error_number))}});
  registry_.birth_settled();
  erase(*worker);
  retry_later(kRetryDelay);
  changed_.notify_all();
}

// ---- Deaths ----------------------------------------------------------------------------------------

asio::awaitable<void> Fleet::mind_worker(Worker& worker) {
  Cause cause = co_await worker.mind();
  if (worker.retire_asked() && cause == Cause{CauseKind::kExited, 0}) cause = {CauseKind::kRecycled, 0};
  events_.on_dead(worker, cause);
  if (cause.kind != CauseKind::kRecycled) record_death(worker, cause);
  erase(worker);
  if (options_.template_options.processes && !clearing_up_) asio::co_spawn(io_, clear_up(), asio::detached);
  fill();
  changed_.notify_all();
}

// One at a time: whatever a later death leaves behind is seen by the one that is at it.
asio::awaitable<void> Fleet::clear_up() {
  clearing_up_ = true;
  co_await end_strangers(io_, registry_, processes_);
  clearing_up_ = false;
  changed_.notify_all();
}

void Fleet::record_death(const Worker& worker, Cause cause) {
  ++facts_.deaths[cause.kind];
  facts_.last_death = cause;
  facts_.last_death_pid = worker.pid();
  death_noticed_ns_ = now_ns();
  if (is_crash(cause) && !stopping_) {
    const auto delay = backoff_.after_death(random());
    not_before_ns_ = death_noticed_ns_ + std::chrono::nanoseconds(delay).count();
    if (delay.count() > 0) {
      log_event(LogLevel::kWarn, "pool_degraded",
                {{"pool", options_.template_options.pool},
                 {"deaths_in_a_row", backoff_.deaths_in_a_row()},
                 {"next_start_ms", delay.count()}});
      calm_timer_.expires_after(kCalm);
      calm_timer_.async_wait([this](boost::system::error_code cancelled) {
        if (!cancelled) calm_down();
      });
    }
  }
  log_event(stopping_ ? LogLevel::kInfo : LogLevel::kWarn, "worker_died",
            {{"pool", options_.template_options.pool},
             {"pid", worker.pid()},
             {"cause", describe(cause)},
             {"jobs_done", worker.jobs_done()}});
  if (worker.given_up()) {
    log_event(LogLevel::kWarn, "worker_stuck", {{"pool", options_.template_options.pool}, {"pid", worker.pid()}});
  }
}

// The row of deaths is over.
void Fleet::calm_down() {
  if (backoff_.delay().count() > 0) {
    calm_timer_.cancel();
    log_event(LogLevel::kInfo, "pool_recovered", {{"pool", options_.template_options.pool}});
  }
  backoff_.reset();
}

bool Fleet::down() const noexcept {
  const bool delayed = backoff_.delay().count() > 0 || (template_ == nullptr && template_backoff_.delay().count() > 0);
  return delayed && live() == 0;
}

std::uint32_t Fleet::ms_to_next_start() const noexcept {
  const std::int64_t delay_ms =
      template_ == nullptr ? template_backoff_.delay().count() : (not_before_ns_ - now_ns()) / kNsPerMs;
  return static_cast<std::uint32_t>(std::max<std::int64_t>(1, delay_ms));
}

void Fleet::erase(const Worker& worker) {
  std::erase_if(workers_, [&](const auto& each) { return each.get() == &worker; });
}

// ---- The end ---------------------------------------------------------------------------------------

void Fleet::stop() {
  stopping_ = true;
  retry_timer_.cancel();
  calm_timer_.cancel();
  for (const auto& worker : workers_) {
    if (worker->state() == Worker::State::kServing) retire(*worker);
  }
  if (template_ != nullptr) template_->kill();
  changed_.notify_all();
}

void Fleet::kill_all(Cause why) noexcept {
  for (const auto& worker : workers_) worker->kill(why);
}

asio::awaitable<void> Fleet::stopped() {
  while (!workers_.empty() || templates_alive_ > 0 || clearing_up_) co_await changed_.wait();
}

Worker* Fleet::find(std::uint64_t incarnation) const noexcept {
  const auto at = std::ranges::find_if(workers_, [&](const auto& each) { return each->incarnation() == incarnation; });
  return at == workers_.end() ? nullptr : at->get();
}

std::uint32_t Fleet::live() const noexcept {
  return static_cast<std::uint32_t>(std::ranges::count_if(workers_, [](const auto& worker) {
    return worker->state() == Worker::State::kSpawning || worker->state() == Worker::State::kServing;
  }));
}

}  // namespace quern::supervisor
