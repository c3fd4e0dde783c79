// What a worker gives up before it sees a client's first byte.
//
//     descriptors     all but standard error, its eventfd and its control socket are closed
//     identity        root becomes nobody, and every capability is dropped; no_new_privs for good
//     resources       no core files (they would hold clients' data), a bound on descriptors, and on
//                     address space when the pool says so
//     system calls    a seccomp filter (sandbox.cpp has the table): what computing needs is allowed;
//                     reaching out (exec, sockets, ptrace, mounts, other processes ...) kills the worker
//                     with SIGSYS, which the supervisor reports as a sandbox violation; all else is EPERM
//
// The filter program is built once, in the template; a worker only loads it.
#pragma once

#include <linux/filter.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "common/error.h"

namespace quern::worker {

struct SandboxOptions {
  std::string pool;
  int supervisor_pid = 0;
  std::uint64_t memory_bytes_max = 0;  // beyond what the template occupies; 0: no limit
};

// Asks the kernel to kill this process when its supervisor dies. False when it is dead already.
[[nodiscard]] bool die_with_supervisor(int supervisor_pid) noexcept;

using FilterProgram = std::vector<sock_filter>;
[[nodiscard]] Result<FilterProgram> build_filter();

// `keep`: descriptors that stay open besides 0, 1 and 2. An Error means: don't run jobs.
[[nodiscard]] Result<void> enter_sandbox(const SandboxOptions& options, const FilterProgram& filter,
                                         std::span<const int> keep);

}  // namespace quern::worker
