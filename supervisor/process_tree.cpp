#include "supervisor/process_tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <charconv>
#include <chrono>
#include <memory>
#include <unordered_map>

#include "common/clock.h"
#include "common/log.h"
#include "common/unique_fd.h"

namespace quern::supervisor {
namespace {

constexpr std::int64_t kStrangersLimitNs = 10'000'000'000;
// A killed process takes a moment to end, and nothing tells of a stranger's end but its zombie.
constexpr std::chrono::milliseconds kFirstLook{2};
constexpr std::chrono::milliseconds kLastLook{200};

constexpr std::size_t kStatBytesMax = 4096;
constexpr int kStateField = 3;  // numbered from 1, as in proc(5)
constexpr int kParentField = 4;
constexpr int kFlagsField = 9;
constexpr int kStartedField = 22;
constexpr std::uint32_t kExitingFlag = 0x4;  // PF_EXITING, include/linux/sched.h

template <class Number>
bool read_number(std::string_view word, Number& number) noexcept {
  const auto [end, failure] = std::from_chars(word.data(), word.data() + word.size(), number);
  return failure == std::errc() && end == word.data() + word.size();
}

bool has_ended(const ProcessEntry& process) noexcept { return process.state == 'Z' || process.state == 'X'; }
// Stopped; or asleep where no signal wakes it, as the parent of a stopped vfork(2) is.
bool is_still(const ProcessEntry& process) noexcept {
  return has_ended(process) || process.state == 'T' || process.state == 't' || process.state == 'D';
}

}  // namespace

std::optional<ProcessEntry> parse_stat(std::string_view stat) noexcept {
  ProcessEntry process;
  std::uint32_t flags = 0;
  const std::size_t open = stat.find(" (");
  const std::size_t close = stat.rfind(") ");
  if (open == std::string_view::npos || close == std::string_view::npos || close < open) return std::nullopt;
  if (!read_number(stat.substr(0, open), process.pid)) return std::nullopt;
  std::string_view rest = stat.substr(close + 2);
  for (int field = kStateField; field <= kStartedField; ++field) {
    const std::size_t end = std::min(rest.find(' '), rest.size());
    const std::string_view word = rest.substr(0, end);
    if (word.empty()) return std::nullopt;
    if (field == kStateField) process.state = word.front();
    if (field == kParentField && !read_number(word, process.parent)) return std::nullopt;
    if (field == kFlagsField && !read_number(word, flags)) return std::nullopt;
    if (field == kStartedField && !read_number(word, process.started)) return std::nullopt;
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  process.exiting = (flags & kExitingFlag) != 0;
  return process;
}

std::vector<ProcessEntry> descendants(std::span<const ProcessEntry> processes, pid_t root) {
  std::unordered_multimap<pid_t, const ProcessEntry*> children;
  for (const ProcessEntry& process : processes) {
    // a pid can be given anew while the list is read: nobody is its own ancestor
    if (process.pid != root && process.pid != process.parent) children.emplace(process.parent, &process);
  }
  std::vector<ProcessEntry> found;
  const auto add_children_of = [&](pid_t parent) {
    const auto [first, last] = children.equal_range(parent);
    for (auto at = first; at != last; ++at) found.push_back(*at->second);
    children.erase(first, last);  // so that no cycle is followed
  };
  add_children_of(root);
  for (std::size_t i = 0; i < found.size(); ++i) add_children_of(found[i].pid);
  return found;
}

// ---- ProcFs ----------------------------------------------------------------------------------------

std::optional<ProcessEntry> ProcFs::read(pid_t pid) const {
  const std::string path = directory_ + "/" + std::to_string(pid) + "/stat";
  const unique_fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return std::nullopt;
  char text[kStatBytesMax];
  const ssize_t n = ::read(file.get(), text, sizeof text);
  return n <= 0 ? std::nullopt : parse_stat({text, static_cast<std::size_t>(n)});
}

std::vector<ProcessEntry> ProcFs::list() const {
  std::vector<ProcessEntry> processes;
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir(directory_.c_str()), ::closedir);
  if (!directory) return processes;
  while (const dirent* entry = ::readdir(directory.get())) {
    pid_t pid = 0;
    if (!read_number(std::string_view(entry->d_name), pid)) continue;
    if (const auto process = read(pid)) processes.push_back(*process);
  }
  return processes;
}

void ProcFs::signal(const ProcessEntry& process, int signal) noexcept {
  const unique_fd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, process.pid, 0)));
  if (!pidfd) return;
  const auto now = read(process.pid);  // the pidfd is of whoever has the pid now
  if (!now || now->started != process.started) return;
  (void)::syscall(SYS_pidfd_send_signal, pidfd.get(), signal, nullptr, 0);
}

// ---- Killing ---------------------------------------------------------------------------------------

std::size_t kill_tree(ProcessTable& table, pid_t root) noexcept {
  std::vector<ProcessEntry> tree;
  for (int round = 0; round < kTreeRoundsMax; ++round) {
    const std::vector<ProcessEntry> all = table.list();
    const auto at_root = std::ranges::find(all, root, &ProcessEntry::pid);
    if (at_root == all.end()) break;
    const std::size_t known = tree.size();
    tree = descendants(all, root);
    // a stop takes effect a moment after it was sent: what is not stopped yet may still have a child
    if (is_still(*at_root) && std::ranges::all_of(tree, is_still) && tree.size() <= known) break;
    table.signal(*at_root, SIGSTOP);
    for (const ProcessEntry& process : tree) {
      if (!has_ended(process)) table.signal(process, SIGSTOP);
    }
  }
  for (const ProcessEntry& process : tree) table.signal(process, SIGKILL);
  for (const ProcessEntry& process : table.list()) {
    if (process.pid == root) table.signal(process, SIGKILL);
  }
  return tree.size();
}

Result<void> adopt_orphans(ChildRegistry& registry, const ProcessTable& table) {
  if (registry.adopts_orphans()) return {};
  if (::prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) return system_error("prctl", "PR_SET_CHILD_SUBREAPER", errno);
  std::vector<pid_t> of_before;
  for (const ProcessEntry& process : table.list()) {
    if (process.parent == ::getpid() && registry.is_stranger(process.pid)) of_before.push_back(process.pid);
  }
  registry.adopt_orphans_but(of_before);
  return {};
}

boost::asio::awaitable<void> end_strangers(boost::asio::io_context& io, ChildRegistry& registry, ProcessTable& table) {
  boost::asio::steady_timer pause(io);
  const std::int64_t give_up_ns = now_ns() + kStrangersLimitNs;
  for (auto delay = kFirstLook;; delay = std::min(2 * delay, kLastLook)) {
    std::size_t left = 0;
    if (!registry.birth_pending()) {
      registry.sweep_strangers();
      for (const ProcessEntry& process : table.list()) {
        if (process.parent != ::getpid() || !registry.is_stranger(process.pid)) continue;
        ++left;
        kill_tree(table, process.pid);
      }
      if (left == 0) co_return;
    }
    if (now_ns() > give_up_ns) {
      log_event(LogLevel::kWarn, "strangers_left", {{"count", left}});
      co_return;
    }
    pause.expires_after(delay);
    co_await pause.async_wait(boost::asio::use_awaitable);
  }
}

}  // namespace quern::supervisor
