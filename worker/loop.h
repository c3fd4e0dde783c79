// The worker's life: claim, run, complete, sleep; until it is told to retire.
//
// Every step is argued where it is written: claiming in ipc/submission_ring.h, completing in
// ipc/completion_ring.h, sleeping in ipc/doorbell.h. A worker holds no lock and no truth, so it may
// be killed between any two instructions.
#pragma once

#include <span>

#include "common/unique_fd.h"
#include "worker/sandbox.h"
#include "worker/sdk/job.h"

namespace quern::worker {

struct WorkerOptions {
  unique_fd channel;
  unique_fd eventfd;
  unique_fd control;
  std::span<const sdk::Kind* const> kinds;
  SandboxOptions sandbox;
  const FilterProgram& filter;
};

// Returns the exit code: 0 when retired, 1 when it could not start.
[[nodiscard]] int run_worker(WorkerOptions options);

}  // namespace quern::worker
