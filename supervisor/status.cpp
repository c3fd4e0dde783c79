#include "supervisor/status.h"

#include <unistd.h>

#include <fmt/format.h>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include <algorithm>
#include <string>
#include <vector>

#include "common/clock.h"
#include "supervisor/memory_use.h"

namespace quern::supervisor {
namespace {

namespace json = boost::json;

std::string_view state_word(const Worker& worker) noexcept {
  switch (worker.state()) {
    case Worker::State::kSpawning: return "starting";
    case Worker::State::kServing: return worker.running() != nullptr ? "busy" : "idle";
    case Worker::State::kRetiring: return "retiring";
    case Worker::State::kDead: break;
  }
  return "dead";
}

std::string_view state_word(const Job& job) noexcept {
  if (!job.running) return "queued";
  return job.memory == MemoryState::kWaiting ? "waiting" : "running";
}

json::object describe_worker(const Worker& worker, std::int64_t now) {
  json::object object{{"pid", worker.pid()},
                      {"state", state_word(worker)},
                      {"jobs_done", worker.jobs_done()},
                      {"rss_bytes", resident_bytes(worker.pid())}};
  if (const Job* job = worker.running(); job != nullptr) {
    object["job"] = json::object{{"id", job->id},
                                 {"kind", job->kind->name},
                                 {"attempt", job->attempts + 1},
                                 {"begun", worker.begun(*job)},
                                 {"running_ms", (now - job->published_ns) / kNsPerMs},
                                 {"waits_for_memory", job->memory == MemoryState::kWaiting},
                                 {"memory_bytes", job->memory == MemoryState::kNone ? 0 : job->memory_bytes}};
  }
  return object;
}

void add_holding(json::object& object, const Holding& held) {
  object["descriptors"] = held.descriptors;
  object["payload_bytes"] = held.payload_bytes;
  object["buffer_bytes"] = held.buffer_bytes;
  object["unread_bytes"] = held.unread_bytes;
}

json::object describe_client(const ClientFacts& client, std::int64_t now) {
  json::object object{{"id", client.id},
                      {"pid", client.pid},
                      {"uid", client.uid},
                      {"name", client.name},
                      {"role", client.is_operator ? "operator" : "client"},
                      {"jobs", client.jobs},
                      {"buffers", client.buffers},
                      {"connected_ms", (now - client.connected_ns) / kNsPerMs}};
  add_holding(object, client.held);
  return object;
}

json::object describe_user(const UserFacts& user) {
  json::object object{{"uid", user.uid}, {"connections", user.connections}};
  add_holding(object, user.held);
  return object;
}

json::object describe_descriptors(const ServerFacts& server) {
  return {{"of_clients", server.descriptors}, {"of_clients_max", server.descriptors_max}};
}

json::object describe_memory(const MemoryCeiling& ceiling) {
  return {{"rss_bytes", resident_bytes(::getpid())},
          {"ceiling_bytes", ceiling.total()},
          {"bodies_ceiling_bytes", ceiling.bodies_bytes},
          {"ceiling", json::object{{"base_bytes", ceiling.base_bytes},
                                   {"clients_bytes", ceiling.clients_bytes},
                                   {"answers_bytes", ceiling.answers_bytes},
                                   {"queues_bytes", ceiling.queues_bytes},
                                   {"workers_bytes", ceiling.workers_bytes},
                                   {"quarantine_bytes", ceiling.quarantine_bytes}}}};
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
  for (const auto& kind : pool.kinds()) {
    if (!kind->canary) kinds.push_back(json::string(kind->name));
  }
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
                      {"memory_cap", name(pool.fleet().memory_cap())},
                      {"memory_budget_bytes", pool.memory().bytes_max()},
                      {"memory_reserved_bytes", pool.memory().reserved_bytes()},
                      {"waiting_for_memory", pool.memory().waiting()},
                      {"waited_for_memory", pool.facts().waited_for_memory},
                      {"slow", pool.facts().slow},
                      {"respawns", fleet.respawns},
                      {"recycled", fleet.recycled},
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
  if (pool.fleet().degraded()) return "degraded";
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
  json::array connections;
  for (const ClientFacts& client : server.clients) connections.push_back(describe_client(client, now));
  json::array users;
  for (const UserFacts& user : server.users) users.push_back(describe_user(user));
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
                                      {"uptime_ms", (now - server.started_ns) / kNsPerMs},
                                      {"clients", server.clients.size()},
                                      {"connections", std::move(connections)},
                                      {"users", std::move(users)},
                                      {"descriptors", describe_descriptors(server)},
                                      {"memory", describe_memory(server.ceiling)},
                                      {"jobs", json::object{{"accepted", accepted},
                                                            {"succeeded", succeeded},
                                                            {"failed", failed},
                                                            {"queued", queued},
                                                            {"running", running}}},
                                      {"pools", std::move(described)}});
}

std::string jobs_document(std::span<const std::unique_ptr<Pool>> pools) {
  const std::int64_t now = now_ns();
  std::vector<const Job*> jobs;
  for (const auto& pool : pools) pool->for_each_job([&](const Job& job) { jobs.push_back(&job); });
  const std::size_t total = jobs.size();
  const std::size_t listed = std::min(total, kJobsListed);
  std::ranges::partial_sort(jobs, jobs.begin() + static_cast<std::ptrdiff_t>(listed), {}, &Job::id);
  json::array described;
  for (std::size_t i = 0; i < listed; ++i) {
    const Job& job = *jobs[i];
    json::object object{{"id", job.id},
                        {"kind", job.kind->name},
                        {"pool", job.kind->pool->config().name},
                        {"state", state_word(job)},
                        {"priority", job.priority},
                        {"attempt", job.attempts + 1},
                        {"client", job.client_id},
                        {"bytes", job.payload_bytes},
                        {"age_ms", (now - job.accepted_ns) / kNsPerMs}};
    const bool waits = job.memory == MemoryState::kWaiting;
    if (job.running) {
      object["running_ms"] = ((waits ? job.memory_asked_ns : now) - job.begun_ns) / kNsPerMs;
      object["pid"] = job.worker->pid();
    }
    if (job.memory != MemoryState::kNone) object["memory_bytes"] = job.memory_bytes;
    if (job.stop != CauseKind::kNone) object["stopping"] = name(job.stop);
    described.push_back(std::move(object));
  }
  return json::serialize(json::object{{"total", total}, {"jobs", std::move(described)}});
}

std::string buffers_document(const SharedBuffers& buffers) {
  constexpr std::string_view kAccess[] = {"user", "group", "everyone"};
  const std::int64_t now = now_ns();
  json::array described;
  buffers.for_each([&](const SharedBuffer& buffer) {
    json::object object{{"id", buffer.id},
                        {"name", buffer.name},
                        {"bytes", buffer.bytes},
                        {"uid", buffer.uid},
                        {"access", kAccess[static_cast<std::size_t>(buffer.access)]},
                        {"clients", buffer.clients},
                        {"jobs", buffer.jobs},
                        {"age_ms", (now - buffer.created_ns) / kNsPerMs}};
    if (buffer.access == wire::BufferAccess::kGroup) object["gid"] = buffer.gid;
    described.push_back(std::move(object));
  });
  return json::serialize(json::object{{"bytes", buffers.bytes()}, {"buffers", std::move(described)}});
}

namespace {

json::object describe_entry(const Quarantine::Entry& entry) {
  return {{"id", fmt::format("{:016x}", entry.fingerprint.id())},
          {"kind", entry.kind->name},
          {"state", entry.quarantined ? "quarantined" : "suspect"},
          {"deaths", entry.deaths},
          {"refused", entry.refused},
          {"bytes", entry.payload_bytes},
          {"replayable", entry.content.has_value()},
          {"last_cause", describe(entry.last_deaths.back().cause)},
          {"last_unix_ms", entry.last_deaths.back().unix_ms}};
}

}  // namespace

std::string quarantine_document(const Quarantine& quarantine) {
  json::array entries;
  for (const Quarantine::Entry& entry : quarantine.entries()) entries.push_back(describe_entry(entry));
  return json::serialize(json::object{{"entries", std::move(entries)}});
}

std::string quarantine_entry_document(const Quarantine::Entry& entry) {
  json::array deaths;
  for (const Quarantine::Death& death : entry.last_deaths) {
    deaths.push_back(json::object{{"unix_ms", death.unix_ms},
                                  {"job", death.job_id},
                                  {"worker_pid", death.worker_pid},
                                  {"cause", describe(death.cause)}});
  }
  json::object document = describe_entry(entry);
  document["last_deaths"] = std::move(deaths);
  return json::serialize(document);
}

}  // namespace quern::supervisor
