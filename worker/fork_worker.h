// Forking a worker so that it is the supervisor's child and not the template's.
//
// clone3(2) with CLONE_PARENT makes the new process a sibling: the supervisor reaps it and outlives
// the template. CLONE_PIDFD gives a handle before anyone could reuse the pid. Because this is not
// fork(3), glibc's copy of the thread id is put right the way fork does it: CLONE_CHILD_SETTID on the
// address that the C library registered with the kernel (PR_GET_TID_ADDRESS). Handlers of
// pthread_atfork do not run; the template is single-threaded, so there is no lock they would have to
// take (asserted by the caller).
#pragma once

#include <sys/types.h>

#include "common/unique_fd.h"

namespace quern::worker {

struct Forked {
  pid_t pid = -1;        // 0 in the child; -1: no process was made
  unique_fd pidfd{};     // in the template
  int error_number = 0;  // when no process was made
};
[[nodiscard]] Forked fork_worker() noexcept;

// How many threads this process has, from /proc/self/task; -1 when it can't be read.
[[nodiscard]] int thread_count();

}  // namespace quern::worker
