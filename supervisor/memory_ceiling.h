// The most memory that quernd itself can come to occupy, from its configuration: every buffer it has is
// bounded by a setting, and this is their sum. docs/architecture.md has the table in words.
//
// Of the supervisor's own process: sealed memfds that it only passes on are not mapped, and are counted
// in a pool's queue_bytes_max while they are queued. Some of them it has made itself, of payloads that came
// inline: they are no part of its process, but charged to its cgroup, so there is a second sum of those.
// Workers are bounded by memory_bytes_max.
#pragma once

#include <cstdint>

#include "ipc/channel.h"
#include "supervisor/config.h"

namespace quern::supervisor {

struct MemoryCeiling {
  std::uint64_t base_bytes = 0;     // code, libraries, the allocator's slack
  std::uint64_t clients_bytes = 0;  // each connection's buffers
  std::uint64_t answers_bytes = 0;  // what clients have not taken
  std::uint64_t queues_bytes = 0;   // accepted jobs
  std::uint64_t workers_bytes = 0;  // channels, and the jobs in them
  std::uint64_t quarantine_bytes = 0;
  [[nodiscard]] std::uint64_t total() const noexcept {
    return base_bytes + clients_bytes + answers_bytes + queues_bytes + workers_bytes + quarantine_bytes;
  }
  // Beside it, in memfds: large bodies being received, queued, and in workers.
  std::uint64_t bodies_bytes = 0;
};

// Of a pool: how many workers it has now or is going to have.
struct PoolSize {
  const PoolConfig* config = nullptr;
  std::uint32_t workers = 0;
};
[[nodiscard]] MemoryCeiling memory_ceiling(const LimitsConfig& limits, std::span<const PoolSize> pools,
                                           const ipc::Geometry& geometry);

}  // namespace quern::supervisor
