// The configuration file, whatever is in it.
//
// Oracle: a file that is accepted has every value within its range (the ranges are those that
// packaging/quern.toml's settings are documented with), named pools, and no module twice; one that is
// refused is refused by name.
//
// Input: the file.
#include <set>
#include <string>

#include "supervisor/config.h"
#include "tests/fuzz/input.h"

namespace quern::fuzz {
namespace {

constexpr std::uint32_t kDayMs = 24U * 3600U * 1000U;
constexpr std::uint64_t kTiB = 1ULL << 40;

template <class T>
void within(T value, std::uint64_t min, std::uint64_t max, const char* setting) {
  check(value >= min && value <= max, setting);
}

void check_pool(const supervisor::PoolConfig& pool) {
  check(!pool.name.empty() && pool.name.size() <= 32, "a pool's name has 1 to 32 bytes");
  check(pool.name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_-") == std::string::npos,
        "a pool's name is plain");
  check(!pool.modules.empty(), "a pool has modules");
  within(pool.workers_max, 1, 4096, "workers_max");
  within(pool.queue_jobs_max, 1, 10'000'000, "queue_jobs_max");
  within(pool.queue_bytes_max, 64U << 10, kTiB, "queue_bytes_max");
  within(pool.queue_timeout_ms, 1, kDayMs, "queue_timeout_ms");
  within(pool.run_timeout_ms, 1, kDayMs, "run_timeout_ms");
  within(pool.cancel_grace_ms, 0, kDayMs, "cancel_grace_ms");
  within(pool.attempts, 1, 10, "attempts");
  within(pool.result_bytes_max, 4U << 10, kTiB, "result_bytes_max");
  within(pool.memory_bytes_max, 0, kTiB, "memory_bytes_max");
  within(pool.memory_budget_bytes, 0, kTiB, "memory_budget_bytes");
  within(pool.workers, 1, pool.workers_max, "workers");
}

void check_config(const supervisor::Config& config) {
  within(config.socket_mode, 0, 0777, "socket_mode");
  within(config.shutdown_grace_ms, 0, kDayMs, "shutdown_grace_ms");
  within(config.limits.clients_max, 1, 100'000, "clients_max");
  within(config.limits.client_jobs_max, 1, 1'000'000, "client_jobs_max");
  within(config.limits.frame_bytes_max, 64U << 10, UINT32_MAX, "frame_bytes_max");
  within(config.limits.frame_bytes_per_s_min, 0, 1ULL << 30, "frame_bytes_per_s_min");
  within(config.limits.payload_bytes_max, 64U << 10, kTiB, "payload_bytes_max");
  within(static_cast<unsigned>(config.log.level), 0, 3, "level");
  within(static_cast<unsigned>(config.log.format), 0, 1, "format");
  check(!config.pools.empty(), "there is a pool");
  std::set<std::string> names;
  std::set<std::string> modules;
  for (const supervisor::PoolConfig& pool : config.pools) {
    check_pool(pool);
    check(names.insert(pool.name).second, "a pool is named once");
    for (const std::string& module : pool.modules) check(modules.insert(module).second, "a module is in one pool");
  }
}

}  // namespace
}  // namespace quern::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace quern;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto config = supervisor::parse_config(text, "fuzz.toml");
  if (config) {
    fuzz::check_config(*config);
  } else {
    fuzz::check(config.error().message.starts_with("fuzz.toml: line "), "an error names file and line");
    fuzz::check(config.error().code == ErrorCode::kInvalidArgument, "an error is the operator's");
  }
  return 0;
}
