#include "worker/memory_note.h"

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>

#include <atomic>
#include <new>

namespace quern::worker {
namespace {

ipc::ChannelHeader* noted_in = nullptr;
pid_t worker_pid = -1;
std::atomic<bool> new_failed{false};

void on_new_failure() {
  new_failed.store(true, std::memory_order_relaxed);
  throw std::bad_alloc();
}

bool address_space_is_used_up() noexcept {
  void* memory = ::mmap(nullptr, kProbeBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return true;
  ::munmap(memory, kProbeBytes);
  return false;
}

void on_deadly_signal(int signal, siginfo_t* info, void* /*context*/) {
  const bool no_memory = errno == ENOMEM;
  const bool from_outside = info->si_code <= 0 && info->si_pid != ::getpid();
  const bool is_worker = ::getpid() == worker_pid;  // and not what it has forked
  if (is_worker && !from_outside &&
      (no_memory || new_failed.load(std::memory_order_relaxed) || address_space_is_used_up())) {
    noted_in->allocation_failed.store(1, std::memory_order_release);
  }
  ::raise(signal);  // the disposition is the default again; it is delivered when this returns
}

}  // namespace

Result<void> install_memory_note(ipc::ChannelHeader& header) {
  noted_in = &header;
  worker_pid = ::getpid();
  std::set_new_handler(on_new_failure);
  for (const int signal : {SIGABRT, SIGSEGV, SIGBUS, SIGILL, SIGTRAP}) {
    struct sigaction now {};
    if (::sigaction(signal, nullptr, &now) != 0) return system_error("sigaction", "", errno);
    if (now.sa_handler != SIG_DFL) continue;  // a sanitizer's
    struct sigaction action {};
    action.sa_sigaction = on_deadly_signal;
    action.sa_flags = static_cast<int>(SA_SIGINFO | SA_ONSTACK | SA_RESETHAND);
    ::sigemptyset(&action.sa_mask);
    if (::sigaction(signal, &action, nullptr) != 0) return system_error("sigaction", "", errno);
  }
  return {};
}

void forget_failed_allocations() noexcept {
  errno = 0;
  new_failed.store(false, std::memory_order_relaxed);
}

}  // namespace quern::worker
