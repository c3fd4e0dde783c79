// A note to the supervisor that a worker dies for want of memory.
//
// Over its memory cap a worker's allocations fail. Code that throws std::bad_alloc fails its job with
// out_of_memory and the worker lives on. But a library that aborts, or uses the null pointer, kills its
// worker by SIGABRT or SIGSEGV, which alone would look like a bug of it. So the worker looks, in the
// moment of its death, whether an allocation had failed in this job:
//
//     C++     the new-handler was called
//     C       errno is still ENOMEM (it is cleared when a job begins)
//     both    not even kProbeBytes of address space are left, as for a stack that can't grow
//
// and writes ChannelHeader.allocation_failed. Then it dies of the same signal as it would have. The
// supervisor takes the word for the cause of a death by a signal, and for nothing else: a worker that
// lies describes its own death wrongly.
//
// A signal sent from outside is nobody's failed allocation. A module's own handlers replace these, and
// a sanitizer's stay: then there is no note. SIGKILL leaves none either: that is the kernel's doing, and
// the cgroup knows (supervisor/cgroup.h).
#pragma once

#include <cstddef>

#include "common/error.h"
#include "ipc/channel.h"

namespace quern::worker {

inline constexpr std::size_t kProbeBytes = 1U << 20;

// In a worker with a memory cap, after install_stack_probe(), whose signal stack it uses, and before
// the sandbox. `header` stays for the process's life.
[[nodiscard]] Result<void> install_memory_note(ipc::ChannelHeader& header);

// A job begins: what failed before is not its doing.
void forget_failed_allocations() noexcept;

}  // namespace quern::worker
