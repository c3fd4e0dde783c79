// The template: loads a pool's job modules once, and forks workers from the loaded state.
//
// Why a template and not fork+exec a worker: OpenCV alone drags in some 140 shared libraries (60-120 ms
// to load and relocate); forked, a worker is ready in milliseconds, shares all of it copy-on-write, and
// runs the very build that is running even while files on disk are being upgraded.
//
// Single-threaded, asserted before every fork. Dies with the supervisor (PR_SET_PDEATHSIG), or when the
// supervisor closes the control socket. ipc/control.h has the messages and what happens when it dies.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/unique_fd.h"
#include "worker/syscall_filter.h"

namespace quern::worker {

struct TemplateOptions {
  std::string pool;
  unique_fd control;
  std::vector<std::string> modules;
  int supervisor_pid = 0;
  std::uint64_t memory_bytes_max = 0;  // of each worker; 0: no limit
  Processes processes = Processes::kForbidden;
};

// Returns the exit code; also in each forked worker, when it is done.
[[nodiscard]] int run_template(TemplateOptions options);

}  // namespace quern::worker
