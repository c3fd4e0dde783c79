#include "supervisor/memory_ceiling.h"

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
  // a frame is copied into its job's record before its buffer is given back
  ceiling.receiving_bytes = 2 * limits.receive_bytes_max;
  // a buffer at rest, one job of that size waiting for its place, and the first segment of answers
  ceiling.clients_bytes = limits.clients_max * (3 * InBuffer::kBytesAtRest + kSessionBytes);
  ceiling.answers_bytes = limits.answers_bytes_max;
  for (const PoolSize& pool : pools) {
    // a rolling restart has each worker twice for a moment
    const std::uint64_t workers = 2ULL * pool.workers;
    const std::uint64_t jobs = pool.config->queue_jobs_max + workers * geometry.slots;
    ceiling.queues_bytes += pool.config->queue_bytes_max + jobs * sizeof(Job);
    ceiling.answers_bytes += jobs * (geometry.output_extent_bytes + kAnswerHeadBytesMax);
    ceiling.workers_bytes += workers * (geometry.total_bytes() + 2 * limits.frame_bytes_max + kPrefetchedBytes);
  }
  ceiling.queues_bytes += JobStore::kSpareMax * (sizeof(Job) + JobStore::kSpareBodyBytesMax);
  ceiling.quarantine_bytes = limits.quarantine_bytes_max;
  ceiling.base_bytes = kBaseBytes + ceiling.total() / kSlackDivisor;
  return ceiling;
}

}  // namespace quern::supervisor
