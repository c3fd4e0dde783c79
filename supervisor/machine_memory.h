// How much memory this process and its children may take: the machine's, or less where a cgroup says so.
#pragma once

#include <cstdint>
#include <string>

namespace quern::supervisor {

// Where to look; other places in tests.
struct MemoryPaths {
  std::string meminfo = "/proc/meminfo";
  std::string self = "/proc/self/cgroup";
  std::string root = "/sys/fs/cgroup";
};

// The least of MemTotal and the limits of our cgroup and of all above it (v2: memory.max and memory.high; v1:
// memory.limit_in_bytes). 0 when nothing of it can be read. Swap is not counted: who swaps is slower than who waits.
[[nodiscard]] std::uint64_t machine_memory_bytes(const MemoryPaths& paths = {});

}  // namespace quern::supervisor
