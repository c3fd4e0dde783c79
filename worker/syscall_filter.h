// Which system calls a worker may make, as one readable table (in syscall_filter.cpp).
//
//     allowed   what computing, answering and dying need
//     deadly    what no job module has any business with: executing, forking, sockets, other
//               processes, mounts, ...: the worker dies of SIGSYS, and the supervisor counts a sandbox
//               violation
//     EPERM     everything else, so that a library that asks for more than it needs is told no and
//               goes on
//
// A pool whose modules start programs (converters, browsers) has another table: what is not forbidden is
// allowed, files can be opened and programs executed, and what is forbidden is refused with EPERM, for
// such programs ask for a lot and go on without. Forbidden stay: looking into other processes, mounts
// and namespaces, the kernel's own matters, and every socket but an AF_UNIX pair. Signals can't be
// bound to its own children here; they can't go to the supervisor, to the template, or to everyone. So
// this table keeps programs from harm by mistake; it is no wall around hostile code of the same user.
//
// The program is compiled once, in the template; a worker only loads it, and adds a second one that
// knows its own pid: signals may be sent to itself and to nobody else.
#pragma once

#include <linux/filter.h>

#include <vector>

#include "common/error.h"

namespace quern::worker {

using FilterProgram = std::vector<sock_filter>;
enum class Processes { kForbidden, kAllowed };  // whether a worker may start others
// In the template: its pid, and the supervisor's, become part of the program.
[[nodiscard]] Result<FilterProgram> build_filter(Processes processes, int supervisor_pid);

// For good, for this process and all it starts. Requires no_new_privs.
[[nodiscard]] Result<void> load_filter(const FilterProgram& filter, Processes processes);

}  // namespace quern::worker
