// A cgroup of its own for each worker: the kernel then bounds the memory of the worker and of all it
// starts, kills them as one, and says when it was memory that they died of.
//
// This takes cgroup v2 and a delegated subtree with the memory controller (systemd: Delegate=memory;
// for others, a directory that quernd may write to and started in):
//
//     DIR/                      where quernd was started; inner nodes have no processes
//       cgroup.subtree_control  +memory (and +pids where there is)
//       supervisor/             quernd and the templates
//       worker-PID-N/           one worker and its descendants
//         memory.max            the pool's memory_bytes_max and kCopiesBytes
//         pids.max            kProcessesMax, so that a job that forks and forks fails by itself
//         memory.swap.max       0, memory.oom.group 1: what exceeds it dies, all of it, at once
//         memory.events         oom_kill > 0 after its death: the cause was memory
//         cgroup.kill           1 ends whatever is left
//
// Where there is none, take() says why, and only the worker's own limit on address space is left
// (worker/sandbox.h). It is on in both cases, for it fails an allocation where the cgroup kills.
//
// A leaf can't be removed before everything in it is reaped; what is left then is tried again with the
// next one that is made, and goes in the end with the unit that systemd stops.
//
// One thread. Cgroups outlives its leaves.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/error.h"

namespace quern::supervisor {

// A worker's own copies of its template's pages, its page tables and the like, which its cgroup counts
// and memory_bytes_max does not mean.
inline constexpr std::uint64_t kCopiesBytes = 64U << 20;

inline constexpr std::uint32_t kProcessesMax = 1024;

// Where to look; other places in tests.
struct CgroupPaths {
  std::string self = "/proc/self/cgroup";
  std::string root = "/sys/fs/cgroup";
};

// How a pool's workers are bound in memory, for the status.
enum class MemoryCap { kNone, kRlimit, kCgroup };
[[nodiscard]] std::string_view name(MemoryCap cap) noexcept;

class CgroupLeaf;

class Cgroups {
 public:
  // Makes this process's cgroup an inner node: moves every process in it into supervisor/, and hands the
  // controllers down. Once, before templates are started. An Error says why there is no cgroup to use, and leaves
  // things as they are.
  [[nodiscard]] static Result<std::unique_ptr<Cgroups>> take(const CgroupPaths& paths = {});

  // A new leaf; `memory_bytes_max` 0: bounded by nothing, but still killed as one.
  [[nodiscard]] Result<CgroupLeaf> make_leaf(std::uint64_t memory_bytes_max);

  [[nodiscard]] const std::string& directory() const noexcept { return directory_; }

 private:
  friend class CgroupLeaf;
  explicit Cgroups(std::string directory) : directory_(std::move(directory)) {}
  void remove(std::string leaf) noexcept;
  void remove_leftovers() noexcept;

  std::string directory_;
  std::vector<std::string> leftovers_;
  std::uint64_t next_leaf_ = 1;
};

// One worker's cgroup. Killed and removed on destruction.
class CgroupLeaf {
 public:
  CgroupLeaf(CgroupLeaf&& other) noexcept;
  CgroupLeaf& operator=(CgroupLeaf&&) = delete;
  ~CgroupLeaf();

  // Moves a process here, with all that it allocates from now on.
  [[nodiscard]] Result<void> add(pid_t pid);
  // Ends every process here. False: the kernel can't (before 5.14).
  bool kill() noexcept;
  // How many of its processes the kernel killed for want of memory; 0 when that can't be read.
  [[nodiscard]] std::uint64_t oom_kills() const noexcept;

  [[nodiscard]] const std::string& directory() const noexcept { return directory_; }

 private:
  friend class Cgroups;
  CgroupLeaf(Cgroups& owner, std::string directory) : owner_(&owner), directory_(std::move(directory)) {}

  Cgroups* owner_;
  std::string directory_;
};

}  // namespace quern::supervisor
