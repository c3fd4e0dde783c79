// Which system calls a worker may make, as one readable table (in syscall_filter.cpp).
//
//     allowed   what computing, answering and dying need
//     deadly    what no job module has any business with: executing, forking, sockets, other
//               processes, mounts, ...: the worker dies of SIGSYS, and the supervisor counts a sandbox
//               violation
//     EPERM     everything else, so that a library that asks for more than it needs is told no and
//               goes on
//
// The program is compiled once, in the template; a worker only loads it, and adds a second one that
// knows its own pid: signals may be sent to itself and to nobody else.
#pragma once

#include <linux/filter.h>

#include <vector>

#include "common/error.h"

namespace quern::worker {

using FilterProgram = std::vector<sock_filter>;
[[nodiscard]] Result<FilterProgram> build_filter();

// For good, for this process. Requires no_new_privs.
[[nodiscard]] Result<void> load_filter(const FilterProgram& filter);

}  // namespace quern::worker
