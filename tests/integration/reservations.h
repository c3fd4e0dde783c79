// Jobs that reserve memory of their pool's budget, for the tests of that.
#pragma once

#include <sys/types.h>

#include <boost/json/array.hpp>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tests/integration/server.h"

namespace quern::test {

inline constexpr std::uint64_t kMiB = 1U << 20;
inline constexpr std::uint64_t kBudget = 256 * kMiB;
inline constexpr std::uint64_t kMost = 200 * kMiB;  // no two of these fit

inline std::string memory_pool(std::string_view more = "", std::string_view modules = "'debug'") {
  return "[pools.debug]\nmodules = [" + std::string(modules) +
         "]\nworkers = 4\ncancel_grace_ms = 2000\nattempts = 1\n"
         "memory_budget_bytes = '256MiB'\n" +
         std::string(more);
}

inline client::Job reserve(std::uint64_t bytes, std::uint64_t ms = 0, std::string_view more = "") {
  return {
      .kind = "debug.reserve",
      .params_json = "{\"bytes\":" + std::to_string(bytes) + ",\"ms\":" + std::to_string(ms) + std::string(more) + "}"};
}

inline constexpr std::uint64_t kForLong = 600'000;

inline std::uint64_t fact(const Server& server, std::string_view name) {
  return server.pool().at(name).to_number<std::uint64_t>();
}
inline bool comes_to_hold(const Server& server, std::uint64_t bytes, std::uint64_t waiting) {
  return eventually([&] {
    const auto pool = server.pool();
    return pool.at("memory_reserved_bytes").to_number<std::uint64_t>() == bytes &&
           pool.at("waiting_for_memory").to_number<std::uint64_t>() == waiting;
  });
}

// Workers whose job has memory, or waits for some.
inline std::vector<pid_t> workers_of(const Server& server, bool waiting) {
  std::vector<pid_t> pids;
  const auto pool = server.pool();
  for (const auto& worker : pool.at("workers").as_array()) {
    const auto* job = worker.as_object().if_contains("job");
    if (job == nullptr || job->at("memory_bytes").to_number<std::uint64_t>() == 0) continue;
    if (job->at("waits_for_memory").as_bool() == waiting)
      pids.push_back(static_cast<pid_t>(worker.at("pid").as_int64()));
  }
  return pids;
}

}  // namespace quern::test
