// Ending all that a worker has started, where its pool lets jobs start programs.
//
//     killed by us    the tree below it is stopped top down until it grows no more, then killed whole. Or its
//                     cgroup is, where it has one (cgroup.h)
//     died itself     its orphans become the supervisor's children, for the supervisor is a subreaper
//                     (PR_SET_CHILD_SUBREAPER); end_strangers() kills and reaps every child that nobody knows
//
// While a worker lives, what is orphaned below it stays below it: it is a subreaper, too
// (worker/sandbox.h). So neither a second fork nor a session of its own lets a process escape.
//
// A worker whose birth the template has not reported yet is a child that nobody knows as well. So strangers
// are looked for only while no birth is pending (ChildRegistry).
//
// What this can't do: when the supervisor itself is killed with SIGKILL, workers die, and what they
// started lives on, unless it is in a cgroup that someone empties, as systemd does with a unit's.
//
// /proc/PID/stat is read for all of this; /proc/PID/task/TID/children is not in every kernel.
#pragma once

#include <sys/types.h>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "supervisor/process.h"

namespace quern::supervisor {

struct ProcessEntry {
  pid_t pid = 0;
  pid_t parent = 0;
  char state = '?';           // as in proc(5): R, S, D, T, Z, ...
  std::uint64_t started = 0;  // clock ticks since boot: with the pid, who it is
  bool exiting = false;       // on its way out, whoever sent it: its files close before its pidfd tells of the end
  friend bool operator==(const ProcessEntry&, const ProcessEntry&) = default;
};

// The text of a /proc/PID/stat. A program's name may hold blanks and parentheses.
[[nodiscard]] std::optional<ProcessEntry> parse_stat(std::string_view stat) noexcept;

// What is below `root`, parents before their children.
[[nodiscard]] std::vector<ProcessEntry> descendants(std::span<const ProcessEntry> processes, pid_t root);

// The machine's processes; another in tests.
class ProcessTable {
 public:
  virtual ~ProcessTable() = default;
  [[nodiscard]] virtual std::vector<ProcessEntry> list() const = 0;
  // To this process and to no other that has its pid by now.
  virtual void signal(const ProcessEntry& process, int signal) noexcept = 0;
};

class ProcFs final : public ProcessTable {
 public:
  explicit ProcFs(std::string directory = "/proc") : directory_(std::move(directory)) {}
  [[nodiscard]] std::vector<ProcessEntry> list() const override;
  void signal(const ProcessEntry& process, int signal) noexcept override;
  // One of them; nothing when it is not there.
  [[nodiscard]] std::optional<ProcessEntry> read(pid_t pid) const;

 private:
  std::string directory_;
};

// Stops `root` and all below it, then kills them. Returns how many there were, without `root`. Looks at most
// kTreeRoundsMax times whether the tree still grows.
inline constexpr int kTreeRoundsMax = 100;
std::size_t kill_tree(ProcessTable& table, pid_t root) noexcept;

// Has orphans of children become this process's children, and spares the children that it has already and that
// `registry` does not know: they are of before. Does nothing the second time.
[[nodiscard]] Result<void> adopt_orphans(ChildRegistry& registry, const ProcessTable& table);

// Kills and reaps the children that `registry` does not know, until there are none. Waits while a birth
// is pending. Gives up after ten seconds with a log line: a process that the kernel holds can't be ended.
[[nodiscard]] boost::asio::awaitable<void> end_strangers(boost::asio::io_context& io, ChildRegistry& registry,
                                                         ProcessTable& table);

}  // namespace quern::supervisor
