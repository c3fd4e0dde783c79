#include "supervisor/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <sstream>
#include <utility>

#include "common/unique_fd.h"

namespace quern::supervisor {
namespace {

constexpr std::string_view kSupervisorLeaf = "/supervisor";
// Processes that may come while others are moved away: a bound on looking again.
constexpr int kMoveRounds = 16;

// Control files are small; a long list of processes is read to its end.
Result<std::string> read_file(const std::string& path) {
  const unique_fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return system_error("open", path, errno);
  std::string text;
  char chunk[4096];
  for (;;) {
    const ssize_t n = ::read(file.get(), chunk, sizeof chunk);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return system_error("read", path, errno);
    if (n == 0) return text;
    text.append(chunk, static_cast<std::size_t>(n));
  }
}

// One write is one command to the kernel.
Result<void> write_file(const std::string& path, std::string_view text) {
  const unique_fd file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!file) return system_error("open", path, errno);
  ssize_t n = 0;
  do {
    n = ::write(file.get(), text.data(), text.size());
  } while (n < 0 && errno == EINTR);
  if (n < 0) return system_error("write", path, errno);
  return {};
}

Error unusable(std::string message) { return Error{.code = ErrorCode::kUnavailable, .message = std::move(message)}; }

// "0::/system.slice/quernd.service" is the line of cgroup v2.
Result<std::string> own_path(const std::string& self) {
  const auto text = read_file(self);
  if (!text) return text.error();
  std::istringstream lines(*text);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("0::/")) return line.substr(3);
  }
  return unusable("there is no cgroup v2 hierarchy");
}

bool has_word(std::string_view text, std::string_view wanted) {
  std::istringstream words{std::string(text)};
  for (std::string word; words >> word;) {
    if (word == wanted) return true;
  }
  return false;
}

Result<void> move_processes(const std::string& from, const std::string& to) {
  for (int round = 0; round < kMoveRounds; ++round) {
    const auto text = read_file(from + "/cgroup.procs");
    if (!text) return text.error();
    std::istringstream pids(*text);
    int moved = 0;
    for (std::string pid; pids >> pid; ++moved) {
      const auto written = write_file(to + "/cgroup.procs", pid);
      // one that ended meanwhile is gone, too; ourselves we must be able to move
      if (!written && pid == std::to_string(::getpid())) return written;
    }
    if (moved == 0) return {};
  }
  return unusable(fmt::format("{} does not become empty", from));
}

}  // namespace

std::string_view name(MemoryCap cap) noexcept {
  switch (cap) {
    case MemoryCap::kNone: return "none";
    case MemoryCap::kRlimit: return "rlimit";
    case MemoryCap::kCgroup: return "cgroup";
  }
  return "none";
}

// ---- Cgroups ---------------------------------------------------------------------------------------

Result<std::unique_ptr<Cgroups>> Cgroups::take(const CgroupPaths& paths) {
  const auto path = own_path(paths.self);
  if (!path) return path.error();
  if (*path == "/") return unusable("quernd is in the root cgroup, which can't be bounded");
  const std::string directory = paths.root + *path;
  const auto controllers = read_file(directory + "/cgroup.controllers");
  if (!controllers) return controllers.error();
  if (!has_word(*controllers, "memory")) return unusable(directory + " has no memory controller");
  const std::string subtree_control = directory + "/cgroup.subtree_control";
  if (::access(subtree_control.c_str(), W_OK) != 0 || ::access(directory.c_str(), W_OK) != 0) {
    return system_error("access", subtree_control, errno);
  }

  const std::string supervisor = directory + std::string(kSupervisorLeaf);
  if (::mkdir(supervisor.c_str(), 0755) != 0 && errno != EEXIST) return system_error("mkdir", supervisor, errno);
  if (auto moved = move_processes(directory, supervisor); !moved) return moved.error();
  if (auto handed = write_file(subtree_control, "+memory"); !handed) return handed.error();
  if (has_word(*controllers, "pids")) (void)write_file(subtree_control, "+pids");
  return std::unique_ptr<Cgroups>(new Cgroups(directory));
}

Result<CgroupLeaf> Cgroups::make_leaf(std::uint64_t memory_bytes_max) {
  remove_leftovers();
  const std::string leaf = fmt::format("{}/worker-{}-{}", directory_, ::getpid(), next_leaf_++);
  if (::mkdir(leaf.c_str(), 0755) != 0) return system_error("mkdir", leaf, errno);
  CgroupLeaf made(*this, leaf);
  (void)write_file(leaf + "/pids.max", std::to_string(kProcessesMax));  // absent without the pids controller
  if (memory_bytes_max == 0) return made;
  if (auto set = write_file(leaf + "/memory.max", std::to_string(memory_bytes_max + kCopiesBytes)); !set)
    return set.error();
  if (auto set = write_file(leaf + "/memory.oom.group", "1"); !set) return set.error();
  (void)write_file(leaf + "/memory.swap.max", "0");  // absent where there is no swap accounting
  return made;
}

void Cgroups::remove(std::string leaf) noexcept {
  if (::rmdir(leaf.c_str()) != 0 && errno != ENOENT) leftovers_.push_back(std::move(leaf));
}

void Cgroups::remove_leftovers() noexcept {
  std::erase_if(leftovers_, [](const std::string& leaf) { return ::rmdir(leaf.c_str()) == 0 || errno == ENOENT; });
}

// ---- CgroupLeaf ------------------------------------------------------------------------------------

CgroupLeaf::CgroupLeaf(CgroupLeaf&& other) noexcept
    : owner_(std::exchange(other.owner_, nullptr)), directory_(std::move(other.directory_)) {}

CgroupLeaf::~CgroupLeaf() {
  if (owner_ == nullptr) return;
  kill();
  owner_->remove(std::move(directory_));
}

Result<void> CgroupLeaf::add(pid_t pid) { return write_file(directory_ + "/cgroup.procs", std::to_string(pid)); }

bool CgroupLeaf::kill() noexcept { return write_file(directory_ + "/cgroup.kill", "1").has_value(); }

std::uint64_t CgroupLeaf::oom_kills() const noexcept {
  const auto text = read_file(directory_ + "/memory.events");
  if (!text) return 0;
  constexpr std::string_view kKey = "oom_kill ";
  for (std::size_t at = text->find(kKey); at != std::string::npos; at = text->find(kKey, at + 1)) {
    if (at != 0 && (*text)[at - 1] != '\n') continue;
    std::uint64_t count = 0;
    (void)std::from_chars(text->data() + at + kKey.size(), text->data() + text->size(), count);
    return count;
  }
  return 0;
}

}  // namespace quern::supervisor
