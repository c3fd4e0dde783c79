// quernd's configuration: what an operator can set, the defaults, and the strict reader of the file.
//
// packaging/quern.toml shows every setting with its default and what it is for; a test keeps it
// complete. Units are last in each name; the names are the ones in status and logs.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/error.h"
#include "common/log.h"
#include "common/retry.h"

namespace quern::supervisor {

struct PoolConfig {
  std::string name;                  // [a-z][a-z0-9_-]{0,31}
  std::vector<std::string> modules;  // names of built-in modules, or paths of your own (with a slash)
  std::uint32_t workers = 1;         // default: one a core
  std::uint32_t workers_max = 256;   // the most that `quern resize` grants
  std::uint32_t queue_jobs_max = 10'000;
  std::uint64_t queue_bytes_max = 256ULL << 20;
  std::uint32_t queue_timeout_ms = 60'000;  // the longest a job waits for a worker, and for memory
  std::uint32_t run_timeout_ms = 30'000;    // the longest it runs
  std::uint32_t cancel_grace_ms = 1'000;    // between asking a job to stop and SIGKILL
  std::uint32_t attempts = 2;               // tries of a job whose worker died, when the client does not say
  RetryOn retry_on = RetryOn::kCrash;       // after which deaths, when the client does not say
  std::uint32_t priority_aging_ms = 1'000;  // a job that waits this long moves up one priority; 0: never
  std::uint32_t quarantine_deaths = 6;      // deaths without a success, after which a content is refused; 0: never
  std::uint32_t slow_job_ms = 10'000;       // a job that runs this long is logged with its stack; 0: never
  std::uint32_t worker_jobs_max = 0;        // a worker is replaced after about this many jobs; 0: never
  std::uint64_t worker_rss_bytes_max = 0;   // and when it occupies more than this between two jobs; 0: never
  std::uint64_t result_bytes_max = 512ULL << 20;
  std::uint64_t memory_bytes_max = 0;  // address space of a worker beyond its template's; 0: no limit
  std::uint64_t memory_budget_bytes =
      0;                   // what its jobs may reserve together; 0: anything. Default: half the machine's
  bool processes = false;  // whether jobs may start processes
};

struct LimitsConfig {
  std::uint32_t clients_max = 1'024;
  std::uint32_t clients_per_uid_max = 512;
  std::uint32_t client_jobs_max = 4'096;   // in flight per connection
  std::uint32_t client_buffers_max = 256;  // shared buffers that a connection may hold
  std::uint32_t client_fds_max = 10'000;   // descriptors held for a connection, its jobs and its answers
  std::uint32_t fds_per_uid_max = 30'000;
  std::uint64_t client_payload_bytes_max = 8ULL << 30;  // of a connection's jobs in flight and answers not taken
  std::uint64_t payload_bytes_per_uid_max = 16ULL << 30;
  std::uint64_t frame_bytes_max = 3ULL << 30;
  std::uint64_t payload_bytes_max = 3ULL << 30;    // of one job, descriptors included
  std::uint64_t receive_bytes_max = 256ULL << 20;  // of large inline payloads being received, all clients together
  std::uint64_t answers_bytes_max = 256ULL << 20;  // of answers not yet taken, beyond which clients that owe us
                                                   // reading are not read
  std::uint64_t shared_bytes_max = 1ULL << 30;     // of all shared buffers
  std::uint64_t shared_bytes_per_uid_max = 512ULL << 20;
  std::uint32_t handshake_timeout_ms = 5'000;        // from connect to HELLO
  std::uint32_t frame_timeout_ms = 30'000;           // for the rest of a frame that was begun
  std::uint64_t frame_bytes_per_s_min = 1U << 20;    // a larger one may take the longer; 0: as long as something comes
  std::uint32_t write_timeout_ms = 60'000;           // for a client that takes none of its answers
  std::uint32_t idle_timeout_ms = 0;                 // without a job or a byte; 0: never
  std::uint64_t quarantine_bytes_max = 64ULL << 20;  // of payloads kept for a replay
};

struct Config {
  std::string runtime_dir;           // default: default_runtime_dir() of common/paths.h
  std::uint32_t socket_mode = 0660;  // of quern.sock; admin.sock is always 0600
  std::string socket_group{};        // of quern.sock; empty: quernd's own
  std::string module_dir;            // where built-in modules are
  std::string worker_path;           // the quern-worker executable
  std::uint32_t shutdown_grace_ms = 30'000;
  LimitsConfig limits{};
  LogConfig log{};
  std::vector<PoolConfig> pools{};
};

// Without a file: pools hash, image and shared, one worker a core each.
[[nodiscard]] Config default_config();

// A file is taken whole or refused whole; the error names file, line, setting and what is allowed.
[[nodiscard]] Result<Config> load_config(const std::string& path);
[[nodiscard]] Result<Config> parse_config(std::string_view text, std::string_view file_name);

// Half of what machine_memory.h says: what a pool's memory_budget_bytes is when nobody says.
[[nodiscard]] std::uint64_t default_memory_budget_bytes();

// Processors this process may run on; at least 1.
[[nodiscard]] std::uint32_t cores() noexcept;

}  // namespace quern::supervisor
