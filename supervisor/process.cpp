#include "supervisor/process.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <utility>

namespace quern::supervisor {
namespace {

constexpr int kControlFd = 3;

Cause cause_of(const siginfo_t& info) noexcept {
  if (info.si_code == CLD_EXITED) return {CauseKind::kExited, info.si_status};
  // seccomp's kill is a SIGSYS; waitid does not say which call it was, the kernel's audit log does
  if (info.si_status == SIGSYS) return {CauseKind::kSandboxViolation, -1};
  return {CauseKind::kSignaled, info.si_status};
}

}  // namespace

void ChildRegistry::sweep_strangers() noexcept {
  for (;;) {
    siginfo_t info{};
    if (::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == 0) return;
    if (known_.contains(info.si_pid)) return;
    (void)::waitid(P_PID, static_cast<id_t>(info.si_pid), &info, WEXITED | WNOHANG);
  }
}

void ChildRegistry::sweep_strangers_for_a_while(boost::asio::io_context& io) {
  boost::asio::co_spawn(
      io,
      [](boost::asio::io_context& loop, ChildRegistry& registry) -> boost::asio::awaitable<void> {
        boost::asio::steady_timer pause(loop);
        for (auto delay = std::chrono::milliseconds(1); delay <= std::chrono::milliseconds(1024); delay *= 2) {
          pause.expires_after(delay);
          co_await pause.async_wait(boost::asio::use_awaitable);
          if (!registry.birth_pending()) registry.sweep_strangers();
        }
      }(io, *this),
      boost::asio::detached);
}

Process::Process(boost::asio::io_context& io, ChildRegistry& registry, pid_t pid, unique_fd pidfd)
    : registry_(registry), pid_(pid), pidfd_(io, pidfd.release()) {
  registry_.add(pid_);
}

Process::~Process() {
  if (reaped_ || given_up_) return;
  kill(SIGKILL);
  (void)reap();
}

void Process::reap_some_day(boost::asio::io_context& io, std::unique_ptr<Process> process) {
  process->given_up_ = true;
  boost::asio::co_spawn(
      io,
      [](std::unique_ptr<Process> waited_for) -> boost::asio::awaitable<void> {
        (void)co_await waited_for->exit();
      }(std::move(process)),
      boost::asio::detached);
}

boost::asio::awaitable<Cause> Process::exit() {
  boost::system::error_code cancelled;
  for (;;) {
    co_await pidfd_.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                               boost::asio::redirect_error(boost::asio::use_awaitable, cancelled));
    if (cancelled) co_return Cause{};
    // reaping blocks while the process lives, so a wake-up without a death must not get there
    pollfd ended{.fd = pidfd_.native_handle(), .events = POLLIN, .revents = 0};
    if (::poll(&ended, 1, 0) == 1) co_return reap();
  }
}

void Process::kill(int signal) noexcept {
  if (!reaped_) (void)::syscall(SYS_pidfd_send_signal, pidfd_.native_handle(), signal, nullptr, 0);
}

Cause Process::reap() noexcept {
  siginfo_t info{};
  int status = 0;
  do {
    status = ::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED);
  } while (status != 0 && errno == EINTR);
  reaped_ = true;
  registry_.remove(pid_);
  registry_.sweep_strangers();
  return status == 0 ? cause_of(info) : Cause{CauseKind::kSignaled, SIGKILL};
}

Result<Spawned> spawn_executable(const std::string& path, const std::vector<std::string>& arguments,
                                 const unique_fd& control) {
  std::vector<char*> argv{const_cast<char*>(path.c_str())};
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);

  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, control.get(), kControlFd);
  posix_spawnattr_t attributes;
  ::posix_spawnattr_init(&attributes);
  sigset_t none;
  sigset_t all;
  ::sigemptyset(&none);
  ::sigfillset(&all);
  ::posix_spawnattr_setsigmask(&attributes, &none);
  ::posix_spawnattr_setsigdefault(&attributes, &all);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  pid_t pid = -1;
  const int failure = ::posix_spawn(&pid, path.c_str(), &actions, &attributes, argv.data(), environ);
  ::posix_spawnattr_destroy(&attributes);
  ::posix_spawn_file_actions_destroy(&actions);
  if (failure != 0) return system_error("posix_spawn", path, failure);

  // the child can't have been reaped by anyone else, so the pid is still its own
  unique_fd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!pidfd) {
    const int pidfd_failure = errno;
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
    return system_error("pidfd_open", path, pidfd_failure);
  }
  return Spawned{pid, std::move(pidfd)};
}

}  // namespace quern::supervisor
