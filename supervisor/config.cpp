#include "supervisor/config.h"

#include <fmt/format.h>
#include <sched.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <utility>

#include "common/paths.h"
#include "common/toml_reader.h"
#include "supervisor/machine_memory.h"

namespace quern::supervisor {
namespace {

constexpr std::uint32_t kDayMs = 24U * 3600U * 1000U;
constexpr std::uint64_t kTiB = 1ULL << 40;

// Settings that both the defaults and a file start from.
Config base_config() {
  Config config;
  config.runtime_dir = default_runtime_dir();
  const std::filesystem::path here = executable_dir();
  config.worker_path = (here / "quern-worker").string();
  config.module_dir = (here.parent_path() / "lib" / "quern" / "modules").string();
  return config;
}

bool good_pool_name(std::string_view name) {
  const auto tail_ok = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-'; };
  return !name.empty() && name.size() <= 32 && name[0] >= 'a' && name[0] <= 'z' && std::ranges::all_of(name, tail_ok);
}

void read_server(TomlDocument& document, Config& config) {
  TomlTable server = document.table("server");
  server.read("runtime_dir", config.runtime_dir);
  server.read_mode("socket_mode", config.socket_mode);
  server.read("socket_group", config.socket_group);
  server.read("module_dir", config.module_dir);
  server.read("worker_path", config.worker_path);
  server.read("shutdown_grace_ms", config.shutdown_grace_ms, 0, kDayMs);
  server.finish();
}

void read_limits(TomlDocument& document, Config& config) {
  TomlTable limits = document.table("limits");
  LimitsConfig& into = config.limits;
  limits.read("clients_max", into.clients_max, 1, 100'000);
  limits.read("clients_per_uid_max", into.clients_per_uid_max, 1, 100'000);
  limits.read("client_jobs_max", into.client_jobs_max, 1, 1'000'000);
  limits.read("client_buffers_max", into.client_buffers_max, 0, 1'000'000);
  limits.read("client_fds_max", into.client_fds_max, 1, 10'000'000);
  limits.read("fds_per_uid_max", into.fds_per_uid_max, 1, 10'000'000);
  limits.read_size("client_payload_bytes_max", into.client_payload_bytes_max, 64U << 10, 1024 * kTiB);
  limits.read_size("payload_bytes_per_uid_max", into.payload_bytes_per_uid_max, 64U << 10, 1024 * kTiB);
  limits.read_size("frame_bytes_max", into.frame_bytes_max, 64U << 10, UINT32_MAX);
  limits.read_size("payload_bytes_max", into.payload_bytes_max, 64U << 10, kTiB);
  limits.read_size("receive_bytes_max", into.receive_bytes_max, 64U << 10, kTiB);
  limits.read_size("answers_bytes_max", into.answers_bytes_max, 64U << 10, kTiB);
  limits.read_size("shared_bytes_max", into.shared_bytes_max, 0, kTiB);
  limits.read_size("shared_bytes_per_uid_max", into.shared_bytes_per_uid_max, 0, kTiB);
  limits.read("handshake_timeout_ms", into.handshake_timeout_ms, 1, kDayMs);
  limits.read("frame_timeout_ms", into.frame_timeout_ms, 1, kDayMs);
  limits.read_size("frame_bytes_per_s_min", into.frame_bytes_per_s_min, 0, 1ULL << 30);
  limits.read("write_timeout_ms", into.write_timeout_ms, 1, kDayMs);
  limits.read("idle_timeout_ms", into.idle_timeout_ms, 0, kDayMs);
  limits.read_size("quarantine_bytes_max", into.quarantine_bytes_max, 0, kTiB);
  limits.finish();
}

void read_log(TomlDocument& document, Config& config) {
  TomlTable log = document.table("log");
  auto level = static_cast<std::size_t>(config.log.level);
  auto format = static_cast<std::size_t>(config.log.format);
  log.read_word("level", level, {"debug", "info", "warn", "error"});
  log.read_word("format", format, {"text", "json"});
  config.log = {static_cast<LogLevel>(level), static_cast<LogFormat>(format)};
  log.finish();
}

PoolConfig default_pool(const std::string& name, std::vector<std::string> modules) {
  return {.name = name,
          .modules = std::move(modules),
          .workers = cores(),
          .memory_budget_bytes = default_memory_budget_bytes()};
}

PoolConfig read_pool(TomlDocument& document, const std::string& name) {
  TomlTable table = document.table("pools." + name);
  PoolConfig pool = default_pool(name, {});
  table.read("modules", pool.modules);
  table.read("workers_max", pool.workers_max, 1, 4'096);
  table.read("workers", pool.workers, 1, pool.workers_max);
  table.read("queue_jobs_max", pool.queue_jobs_max, 1, 10'000'000);
  table.read_size("queue_bytes_max", pool.queue_bytes_max, 64U << 10, kTiB);
  table.read("queue_timeout_ms", pool.queue_timeout_ms, 1, kDayMs);
  table.read("run_timeout_ms", pool.run_timeout_ms, 1, kDayMs);
  table.read("cancel_grace_ms", pool.cancel_grace_ms, 0, kDayMs);
  table.read("attempts", pool.attempts, 1, 10);
  auto retry_on = static_cast<std::uint32_t>(pool.retry_on);
  table.read_set("retry_on", retry_on, kRetryOnWords);
  pool.retry_on = static_cast<RetryOn>(retry_on);
  table.read("priority_aging_ms", pool.priority_aging_ms, 0, kDayMs);
  table.read("quarantine_deaths", pool.quarantine_deaths, 0, 1'000'000);
  table.read("slow_job_ms", pool.slow_job_ms, 0, kDayMs);
  table.read("worker_jobs_max", pool.worker_jobs_max, 0, 1'000'000'000);
  table.read_size("worker_rss_bytes_max", pool.worker_rss_bytes_max, 0, kTiB);
  table.read("processes", pool.processes);
  table.read_size("result_bytes_max", pool.result_bytes_max, 4U << 10, kTiB);
  table.read_size("memory_bytes_max", pool.memory_bytes_max, 0, kTiB);
  table.read_size("memory_budget_bytes", pool.memory_budget_bytes, 0, kTiB);
  if (pool.modules.empty()) table.complain("modules", "is missing; name at least one, such as [\"image\"]");
  table.finish();
  return pool;
}

void read_pools(TomlDocument& document, Config& config) {
  TomlTable pools = document.table("pools");
  std::set<std::string> modules;
  for (const std::string& name : pools.tables()) {
    if (!good_pool_name(name)) {
      pools.complain(name, "a pool's name is a letter and then at most 31 of a-z, 0-9, _ and -");
      return;
    }
    config.pools.push_back(read_pool(document, name));
    for (const std::string& module : config.pools.back().modules) {
      if (!modules.insert(module).second) {
        document.table("pools." + name)
            .complain("modules", fmt::format("module {} is in another pool already", module));
      }
    }
  }
  pools.finish();
  if (config.pools.empty()) document.table("").complain("pools", "there must be at least one [pools.NAME]");
}

}  // namespace

std::uint64_t default_memory_budget_bytes() { return std::min(machine_memory_bytes() / 2, kTiB); }

std::uint32_t cores() noexcept {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  return static_cast<std::uint32_t>(std::max(1, CPU_COUNT(&set)));
}

Config default_config() {
  Config config = base_config();
  for (const char* name : {"hash", "image", "shared"}) {
    config.pools.push_back(default_pool(name, {name}));
  }
  return config;
}

namespace {

Result<Config> read_config(Result<TomlDocument> document) {
  if (!document) return document.error();
  Config config = base_config();
  read_server(*document, config);
  read_limits(*document, config);
  read_log(*document, config);
  TomlTable root = document->table("");
  for (const std::string& section : root.tables()) {
    if (section != "server" && section != "limits" && section != "log" && section != "pools") {
      root.complain(section, "unknown section; known are server, limits, log and pools.NAME");
    }
  }
  root.finish();
  read_pools(*document, config);
  if (document->error()) return *document->error();
  return config;
}

}  // namespace

Result<Config> parse_config(std::string_view text, std::string_view file_name) {
  return read_config(TomlDocument::parse(text, file_name));
}

Result<Config> load_config(const std::string& path) { return read_config(TomlDocument::load(path)); }

}  // namespace quern::supervisor
