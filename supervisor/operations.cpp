#include "supervisor/operations.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <utility>

#include "common/clock.h"
#include "common/log.h"
#include "supervisor/own_job.h"
#include "supervisor/status.h"

namespace quern::supervisor {

namespace asio = boost::asio;
namespace json = boost::json;

namespace {

// The longest that a canary may take, its wait in the queue included.
constexpr std::uint32_t kCanaryMs = 5'000;

Error no_such_entry(std::uint64_t id) {
  return Error{
      .code = ErrorCode::kNotFound,
      .message = fmt::format("nothing in quarantine has the id {:016x}; `quern quarantine ls` lists what is", id),
      .field = "id"};
}

Result<unique_fd> duplicate(const unique_fd& fd) {
  unique_fd copy(::fcntl(fd.get(), F_DUPFD_CLOEXEC, 0));
  if (!copy) return system_error("fcntl(F_DUPFD_CLOEXEC)", "the kept payload", errno);
  return copy;
}

Result<OwnJob> own_job_of(const Quarantine::Entry& entry) {
  if (!entry.content) {
    return Error{.code = ErrorCode::kUnavailable,
                 .message = entry.kind->sensitive ? "payloads of this kind are secret and are not kept"
                                                  : "its payload was not kept (limits.quarantine_bytes_max)"};
  }
  OwnJob own{.kind = entry.kind, .body = entry.content->body};
  if (entry.content->body_fd) {
    auto copy = duplicate(entry.content->body_fd);
    if (!copy) return copy.error();
    own.body_fd = std::move(*copy);
    own.body_fd_bytes = entry.body_bytes;
  }
  for (const unique_fd& fd : entry.content->fds) {
    auto copy = duplicate(fd);
    if (!copy) return copy.error();
    own.fds.push_back(std::move(*copy));
  }
  own.payload_bytes = entry.payload_bytes - entry.body_bytes;
  own.options.attempts = 1;
  own.options.no_wait = true;
  return own;
}

}  // namespace

asio::awaitable<Result<std::string>> Operations::carry_out(wire::AdminOp op, std::string pool, std::uint64_t value) {
  switch (op) {
    case wire::AdminOp::kStatus: co_return status_();
    case wire::AdminOp::kJobs: co_return jobs_document(pools_);
    case wire::AdminOp::kCancel: co_return cancel(value);
    case wire::AdminOp::kHealth: co_return co_await health(std::move(pool));
    case wire::AdminOp::kQuarantineList: co_return quarantine_document(quarantine_);
    case wire::AdminOp::kQuarantineShow: co_return show(value);
    case wire::AdminOp::kQuarantineRelease: co_return release(value);
    case wire::AdminOp::kQuarantineReplay: co_return co_await replay(value);
    case wire::AdminOp::kBuffers: co_return buffers_document(buffers_);
    default: co_return co_await change_pool(op, std::move(pool), value);
  }
}

// ---- Pools -----------------------------------------------------------------------------------------

Result<Pool*> Operations::find_pool(std::string_view name) const {
  const auto at = std::ranges::find_if(pools_, [&](const auto& pool) { return pool->config().name == name; });
  if (at != pools_.end()) return at->get();
  std::string names;
  for (const auto& pool : pools_) names += (names.empty() ? "" : ", ") + pool->config().name;
  return Error{.code = ErrorCode::kNotFound,
               .message = fmt::format("there is no such pool; this server has {}", names),
               .field = "pool"};
}

asio::awaitable<Result<std::string>> Operations::change_pool(wire::AdminOp op, std::string name, std::uint64_t value) {
  const auto found = find_pool(name);
  if (!found) co_return found.error();
  Pool& pool = **found;
  Result<void> done;
  switch (op) {
    case wire::AdminOp::kResize:
      done = pool.resize(static_cast<std::uint32_t>(std::min<std::uint64_t>(value, UINT32_MAX)));
      break;
    case wire::AdminOp::kDrain: pool.drain(); break;
    case wire::AdminOp::kPause: pool.pause(); break;
    case wire::AdminOp::kResume: pool.resume(); break;
    case wire::AdminOp::kRestart: done = co_await pool.restart(); break;
    default: break;
  }
  if (!done) co_return done.error();
  co_return fmt::format("{{\"pool\":\"{}\",\"state\":\"{}\",\"workers_target\":{},\"queued\":{},\"running\":{}}}", name,
                        state_word(pool), pool.fleet().target(), pool.queue().size(),
                        pool.jobs() - pool.queue().size());
}

// ---- Jobs ------------------------------------------------------------------------------------------

Result<std::string> Operations::cancel(std::uint64_t job_id) {
  for (const auto& pool : pools_) {
    Job* job = pool->find(job_id);
    if (job == nullptr) continue;
    const bool running = job->running;
    log_event(LogLevel::kInfo, "job_cancelled",
              {{"pool", pool->config().name}, {"job", job_id}, {"kind", job->kind->name}, {"running", running}});
    pool->cancel(*job, CauseKind::kOperator);
    return fmt::format("{{\"job\":{},\"was\":\"{}\"}}", job_id, running ? "running" : "queued");
  }
  return Error{.code = ErrorCode::kNotFound,
               .message = fmt::format("no job {} is queued or running; `quern jobs` lists those that are", job_id),
               .field = "job"};
}

asio::awaitable<Result<std::string>> Operations::health(std::string name) {
  if (!name.empty()) {
    if (const auto found = find_pool(name); !found) co_return found.error();
  }
  struct Check {
    Pool* pool;
    Error error{};
    bool healthy = false;
    std::int64_t took_ns = 0;
  };
  std::vector<Check> checks;
  for (const auto& pool : pools_) {
    if (name.empty() || pool->config().name == name) checks.push_back({.pool = pool.get()});
  }
  AsyncEvent one_done(io_);
  std::size_t left = checks.size();
  const auto run = [this, &one_done, &left](Check& check) -> asio::awaitable<void> {
    const std::int64_t began = now_ns();
    const Kind* canary = check.pool->canary();
    if (check.pool->mode() != Pool::Mode::kRunning) {
      check.error = {.code = ErrorCode::kUnavailable,
                     .message = fmt::format("the pool is {}", state_word(*check.pool))};
    } else if (canary == nullptr) {
      check.error = {.code = ErrorCode::kInternal, .message = "the pool has no canary"};
    } else {
      wire::JobOptions options;
      options.priority = wire::kPriorityMax;
      options.deadline_ms = kCanaryMs;
      const auto answer = co_await run_own_job(io_, store_, {.kind = canary, .options = options});
      check.healthy = answer.has_value();
      if (!answer) check.error = answer.error();
    }
    check.took_ns = now_ns() - began;
    --left;
    one_done.notify_all();
  };
  for (Check& check : checks) asio::co_spawn(io_, run(check), asio::detached);
  while (left > 0) co_await one_done.wait();

  json::array pools;
  for (const Check& check : checks) {
    json::object pool{{"pool", check.pool->config().name},
                      {"healthy", check.healthy},
                      {"state", state_word(*check.pool)},
                      {"took_us", check.took_ns / 1000}};
    if (!check.healthy) pool["error"] = to_string(check.error);
    pools.push_back(std::move(pool));
  }
  const bool healthy = std::ranges::all_of(checks, &Check::healthy);
  co_return json::serialize(json::object{{"healthy", healthy}, {"pools", std::move(pools)}});
}

// ---- Quarantine ------------------------------------------------------------------------------------

Result<std::string> Operations::show(std::uint64_t id) {
  const Quarantine::Entry* entry = quarantine_.find(id);
  if (entry == nullptr) return no_such_entry(id);
  return quarantine_entry_document(*entry);
}

Result<std::string> Operations::release(std::uint64_t id) {
  const Quarantine::Entry* entry = quarantine_.find(id);
  if (entry == nullptr) return no_such_entry(id);
  log_event(LogLevel::kInfo, "content_released", {{"kind", entry->kind->name}, {"id", fmt::format("{:016x}", id)}});
  quarantine_.release(id);
  return fmt::format("{{\"id\":\"{:016x}\",\"released\":true}}", id);
}

asio::awaitable<Result<std::string>> Operations::replay(std::uint64_t id) {
  const Quarantine::Entry* entry = quarantine_.find(id);
  if (entry == nullptr) co_return no_such_entry(id);
  auto own = own_job_of(*entry);
  if (!own) co_return own.error();
  const auto answer = co_await run_own_job(io_, store_, std::move(*own));
  // an error that the job itself answers is no death: its worker lived
  const bool lived = answer || !counts_against_job(answer.error().cause);
  json::object document{{"id", fmt::format("{:016x}", id)}, {"released", lived}};
  if (answer) {
    document["run_us"] = answer->run_ns / 1000;
  } else {
    document["error"] = to_string(answer.error());
  }
  if (lived && quarantine_.find(id) != nullptr) (void)release(id);
  co_return json::serialize(document);
}

}  // namespace quern::supervisor
