#include "worker/fork_worker.h"

#include <errno.h>
#include <linux/sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <system_error>

namespace quern::worker {
namespace {

// Where glibc keeps this thread's id; 0 when the kernel can't tell (no CONFIG_CHECKPOINT_RESTORE).
std::uint64_t tid_address() {
  std::uint64_t address = 0;
  if (::prctl(PR_GET_TID_ADDRESS, &address, 0, 0, 0) != 0 || address == 0) return 0;
  return *reinterpret_cast<const pid_t*>(address) == ::gettid() ? address : 0;
}

}  // namespace

Forked fork_worker() noexcept {
  int pidfd = -1;
  clone_args arguments{};
  arguments.flags = CLONE_PARENT | CLONE_PIDFD;
  arguments.pidfd = reinterpret_cast<std::uint64_t>(&pidfd);
  // exit_signal stays 0: with CLONE_PARENT the child takes the template's, SIGCHLD to the supervisor
  if (const std::uint64_t address = tid_address(); address != 0) {
    arguments.flags |= CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID;
    arguments.child_tid = address;
  }
  const long pid = ::syscall(SYS_clone3, &arguments, sizeof arguments);
  if (pid < 0) return {.error_number = errno};
  if (pid == 0) return {.pid = 0};
  return {.pid = static_cast<pid_t>(pid), .pidfd = unique_fd(pidfd)};
}

int thread_count() {
  std::error_code failure;
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/task", failure)) {
    (void)entry;
    ++count;
  }
  return failure ? -1 : count;
}

}  // namespace quern::worker
