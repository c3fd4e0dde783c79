// What a worker gives up before it sees a client's first byte.
//
//     descriptors     all but standard error, its eventfd and its control socket are closed
//     identity        root becomes nobody, and every capability is dropped; no_new_privs for good
//     resources       no core files (they would hold clients' data), a bound on descriptors, and on
//                     address space when the pool says so
//     system calls    a seccomp filter, see syscall_filter.h
//
//     group           where processes are allowed: a session of its own, so that a signal to its group stays
//                     in it; and orphans below it become its children, so that the supervisor finds them
//
// A worker that can't give these up runs no job: it exits 1 with the reason on standard error.
#pragma once

#include <cstdint>
#include <span>

#include "common/error.h"
#include "worker/syscall_filter.h"

namespace quern::worker {

struct SandboxOptions {
  int supervisor_pid = 0;
  std::uint64_t memory_bytes_max = 0;  // beyond what the template occupies; 0: no limit. Of each process
  Processes processes = Processes::kForbidden;
};

// Asks the kernel to kill this process when its supervisor dies. False when it is dead already.
[[nodiscard]] bool die_with_supervisor(int supervisor_pid) noexcept;

// `keep`: descriptors that stay open besides 0, 1 and 2. An Error means: don't run jobs.
[[nodiscard]] Result<void> enter_sandbox(const SandboxOptions& options, const FilterProgram& filter,
                                         std::span<const int> keep);

}  // namespace quern::worker
