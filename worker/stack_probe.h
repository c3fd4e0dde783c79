// The stack of a running job, on request: where a slow job is, without stopping it.
//
//     supervisor                          worker
//     stack_signal() to the pidfd ------> handler: unwinds, stores the addresses in the channel's header,
//     load_stack() <--- doorbell -------- rings; the job goes on
//
// The handler runs on a stack of its own, allocates nothing and takes no lock: backtrace(3) was called
// once in the template, which loads and binds the unwinder, and finding unwind tables is lock-free
// (_dl_find_object, glibc 2.35). No file is read, so the sandbox needs no exception.
//
// SA_RESTART: a module's read or write is begun again by the kernel. What signal(7) lists as never
// restarted (nanosleep, poll, select) ends early with EINTR, as it may for any signal.
//
// A module that blocks or replaces the signal yields no stack. Between jobs nothing is stored.
//
// The state is the process's (a handler has no other way to know its worker), set once, by one thread.
#pragma once

#include <cstdint>

#include "common/error.h"
#include "ipc/channel.h"

namespace quern::worker {

// In the template: loads the unwinder, and ignores the signal until a worker is ready for it.
void prepare_stack_probe() noexcept;

// In the worker, before the sandbox. `header` and `eventfd` stay for the process's life.
[[nodiscard]] Result<void> install_stack_probe(ipc::ChannelHeader& header, int eventfd);

// While it lives, a stack is one of the job at `position`.
class RunningJob {
 public:
  explicit RunningJob(std::uint64_t position) noexcept;
  ~RunningJob();
  RunningJob(const RunningJob&) = delete;
  RunningJob& operator=(const RunningJob&) = delete;
};

}  // namespace quern::worker
