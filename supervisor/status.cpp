#include "supervisor/status.h"

#include <unistd.h>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <string>

#include "common/clock.h"

namespace quern::supervisor {
namespace {

namespace json = boost::json;

std::string_view state_word(const Worker& worker) noexcept {
  switch (worker.state()) {
    case Worker::State::kSpawning: return "starting";
    case Worker::State::kServing: return worker.in_flight() > 0 ? "busy" : "idle";
    case Worker::State::kRetiring: return "retiring";
    case Worker::State::kDead: break;
  }
  return "dead";
}

json::object describe_worker(const Worker& worker, std::int64_t now) {
  json::object object{{"pid", worker.pid()}, {"state", state_word(worker)}, {"jobs_done", worker.jobs_done()}};
  if (const Job* job = worker.running(); job != nullptr) {
    object["job"] = json::object{{"id", job->id},
                                 {"kind", job->kind->name},
                                 {"attempt", job->attempts + 1},
                                 {"running_ms", (now - job->published_ns) / 1'000'000}};
  }
  return object;
}

std::uint64_t failures(const PoolFacts& facts) noexcept {
  std::uint64_t total = 0;
  for (const auto& [code, count] : facts.failed) total += count;
  return total;
}

std::size_t running_jobs(const Pool& pool) noexcept { return pool.jobs() - pool.queue().size(); }

json::object describe_pool(const Pool& pool, std::int64_t now) {
  const FleetFacts& fleet = pool.fleet().facts();
  json::array workers;
  for (const auto& worker : pool.fleet().workers()) workers.push_back(describe_worker(*worker, now));
  json::array kinds;
  for (const auto& kind : pool.kinds()) kinds.push_back(json::string(kind->name));
  json::array modules;
  for (const std::string& module : pool.config().modules) modules.push_back(json::string(module));
  json::object deaths;
  for (const auto& [cause, count] : fleet.deaths) deaths[name(cause)] = count;
  json::object errors;
  for (const auto& [code, count] : pool.facts().failed) errors[name(code)] = count;
  json::object object{{"name", pool.config().name},
                      {"state", supervisor::state_word(pool)},
                      {"modules", std::move(modules)},
                      {"kinds", std::move(kinds)},
                      {"workers_target", pool.fleet().target()},
                      {"workers", std::move(workers)},
                      {"queued", pool.queue().size()},
                      {"queued_bytes", pool.queue().bytes()},
                      {"running", running_jobs(pool)},
                      {"accepted", pool.facts().accepted},
                      {"succeeded", pool.facts().succeeded},
                      {"failed", failures(pool.facts())},
                      {"errors", std::move(errors)},
                      {"refused", pool.facts().refused},
                      {"retried", pool.facts().retried},
                      {"deaths", std::move(deaths)},
                      {"respawns", fleet.respawns},
                      {"respawn_us_last", fleet.last_respawn_ns / 1000},
                      {"backoff_ms", pool.fleet().backoff_delay().count()}};
  if (fleet.last_death_pid != 0) {
    object["last_death"] = json::object{{"pid", fleet.last_death_pid}, {"cause", describe(fleet.last_death)}};
  }
  return object;
}

}  // namespace

std::string_view state_word(const Pool& pool) noexcept {
  switch (pool.mode()) {
    case Pool::Mode::kPaused: return "paused";
    case Pool::Mode::kDraining: return "draining";
    case Pool::Mode::kStopping: return "stopping";
    case Pool::Mode::kRunning: break;
  }
  if (pool.fleet().backoff_delay().count() > 0 || !pool.fleet().template_alive()) return "degraded";
  for (const auto& worker : pool.fleet().workers()) {
    if (worker->state() == Worker::State::kServing) return "running";
  }
  return "starting";
}

std::string status_document(const ServerFacts& server, std::span<const std::unique_ptr<Pool>> pools) {
  const std::int64_t now = now_ns();
  json::array described;
  std::uint64_t accepted = 0;
  std::uint64_t succeeded = 0;
  std::uint64_t failed = 0;
  std::uint64_t queued = 0;
  std::uint64_t running = 0;
  for (const auto& pool : pools) {
    described.push_back(describe_pool(*pool, now));
    accepted += pool->facts().accepted;
    succeeded += pool->facts().succeeded;
    failed += failures(pool->facts());
    queued += pool->queue().size();
    running += running_jobs(*pool);
  }
  return json::serialize(json::object{{"version", QUERN_VERSION},
                                      {"pid", ::getpid()},
                                      {"state", server.state},
                                      {"uptime_ms", (now - server.started_ns) / 1'000'000},
                                      {"clients", server.clients},
                                      {"jobs", json::object{{"accepted", accepted},
                                                            {"succeeded", succeeded},
                                                            {"failed", failed},
                                                            {"queued", queued},
                                                            {"running", running}}},
                                      {"pools", std::move(described)}});
}

}  // namespace quern::supervisor
