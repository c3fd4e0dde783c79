#include "supervisor/memory_ceiling.h"

#include <algorithm>

#include "supervisor/in_buffer.h"
#include "supervisor/job.h"

namespace quern::supervisor {
namespace {

constexpr std::uint64_t kBaseBytes = 48U << 20;
constexpr std::uint64_t kSessionBytes = 16U << 10;       // a session's coroutines and tables
constexpr std::uint64_t kPrefetchedBytes = 1U << 20;     // kPrefetchBytes of pool_dispatch.cpp
constexpr std::uint64_t kAnswerHeadBytesMax = 5U << 10;  // an error's message, or a result's table
// What is freed and taken again in other sizes leaves holes in the allocator's heap.
constexpr std::uint64_t kSlackDivisor = 8;

}  // namespace

MemoryCeiling memory_ceiling(const LimitsConfig& limits, std::span<const PoolSize> pools,
                             const ipc::Geometry& geometry) {
  MemoryCeiling ceiling;
  const std::uint64_t body_bytes_max = std::min(limits.frame_bytes_max, limits.payload_bytes_max);
  ceiling.bodies_bytes = limits.receive_bytes_max + body_bytes_max;  // see receive_budget.h
  // a buffer, one job of that size waiting for its place, and the first segment of answers
  ceiling.clients_bytes = limits.clients_max * (3 * InBuffer::kBytes + kSessionBytes);
  ceiling.answers_bytes = limits.answers_bytes_max;
  for (const PoolSize& pool : pools) {
    // a rolling restart has each worker twice for a moment
    const std::uint64_t workers = 2ULL * pool.workers;
    const std::uint64_t jobs = pool.config->queue_jobs_max + workers * geometry.slots;
    ceiling.queues_bytes += pool.config->queue_bytes_max + jobs * sizeof(Job);
    ceiling.answers_bytes += jobs * (geometry.output_extent_bytes + kAnswerHeadBytesMax);
    ceiling.workers_bytes += workers * (geometry.total_bytes() + 2 * InBuffer::kBytes + kPrefetchedBytes);
    // an empty queue takes a job of any size
    ceiling.bodies_bytes += std::max(pool.config->queue_bytes_max, body_bytes_max) + workers * body_bytes_max;
  }
  ceiling.queues_bytes += JobStore::kSpareMax * (sizeof(Job) + JobStore::kSpareBodyBytesMax);
  ceiling.quarantine_bytes = limits.quarantine_bytes_max;
  ceiling.base_bytes = kBaseBytes + ceiling.total() / kSlackDivisor;
  return ceiling;
}

}  // namespace quern::supervisor
