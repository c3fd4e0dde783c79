// A child process of the supervisor: born, watched and reaped through its pidfd.
//
// Every child (template or worker) is a Process. Its pid can't be reused while the Process lives,
// because nobody else reaps: SIGCHLD has no handler, and waitid(2) is called only here. Killing goes
// through the pidfd and so can never hit a stranger.
//
// One thread (the supervisor's loop). When the supervisor dies, the kernel kills every child
// (PR_SET_PDEATHSIG in the child).
#pragma once

#include <sys/types.h>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <cstdint>
#include <string>
#include <unordered_set>
#include <vector>

#include "common/error.h"
#include "common/unique_fd.h"

namespace quern::supervisor {

// Reaps children that no Process stands for: a worker forked by a template that died before it could
// report the pid. Shared by all Processes of a supervisor.
class ChildRegistry {
 public:
  void add(pid_t pid) {
    known_.insert(pid);
    spared_.erase(pid);
  }
  void remove(pid_t pid) { known_.erase(pid); }
  // Reaps every zombie that is not known. Stops at a known one: its own Process reaps it and sweeps again.
  void sweep_strangers() noexcept;
  // Likewise again and again, for two seconds: a child that nobody knows is about to end, and nothing tells when.
  // Outlives the loop of `io`.
  void sweep_strangers_for_a_while(boost::asio::io_context& io);

  // A child that no Process stands for, and that is not of before this program began.
  [[nodiscard]] bool is_stranger(pid_t pid) const noexcept { return !known_.contains(pid) && !spared_.contains(pid); }

  // Between asking a template for a worker and knowing whether it was born: a stranger may be that worker.
  void birth_asked() noexcept { ++births_pending_; }
  void birth_settled() noexcept { --births_pending_; }
  [[nodiscard]] bool birth_pending() const noexcept { return births_pending_ > 0; }

  // See process_tree.h.
  void adopt_orphans_but(const std::vector<pid_t>& spared) {
    spared_.insert(spared.begin(), spared.end());
    adopts_orphans_ = true;
  }
  [[nodiscard]] bool adopts_orphans() const noexcept { return adopts_orphans_; }

 private:
  std::unordered_set<pid_t> known_;
  std::unordered_set<pid_t> spared_;
  std::uint32_t births_pending_ = 0;
  bool adopts_orphans_ = false;
};

class Process {
 public:
  // Takes a child by pid and pidfd. `registry` outlives the Process.
  Process(boost::asio::io_context& io, ChildRegistry& registry, pid_t pid, unique_fd pidfd);
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;
  // Kills with SIGKILL and reaps, blocking for the moment that takes, unless exit() has returned.
  ~Process();
  // For one that was killed and does not die, because the kernel waits for a file system in its name: it is reaped
  // when it is gone, by nobody if we are gone first.
  static void reap_some_day(boost::asio::io_context& io, std::unique_ptr<Process> process);

  [[nodiscard]] pid_t pid() const noexcept { return pid_; }

  // Waits until the process has ended, reaps it, and says how. A cancelled wait yields no cause, reaps
  // nothing, and may be begun again.
  [[nodiscard]] boost::asio::awaitable<Cause> exit();

  // Never fails: a process that has ended already is as dead as asked.
  void kill(int signal) noexcept;

 private:
  Cause reap() noexcept;

  ChildRegistry& registry_;
  pid_t pid_;
  boost::asio::posix::stream_descriptor pidfd_;
  bool reaped_ = false;
  bool given_up_ = false;
};

// Executes `path` with `arguments` (argv[1..]) and `control` as descriptor 3; every other descriptor
// is close-on-exec. Signal mask and dispositions are the defaults. Returns pid and pidfd.
struct Spawned {
  pid_t pid;
  unique_fd pidfd;
};
[[nodiscard]] Result<Spawned> spawn_executable(const std::string& path, const std::vector<std::string>& arguments,
                                               const unique_fd& control);

}  // namespace quern::supervisor
