#include "supervisor/machine_memory.h"

#include <algorithm>
#include <fstream>
#include <initializer_list>
#include <sstream>
#include <string_view>
#include <utility>

namespace quern::supervisor {
namespace {

std::uint64_t memory_total(const std::string& meminfo) {
  std::ifstream file(meminfo);
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string name;
    std::uint64_t kib = 0;
    if (words >> name >> kib && name == "MemTotal:") return kib << 10;
  }
  return UINT64_MAX;
}

// "max" is no limit, as is a file that is not there.
std::uint64_t limit_in(const std::string& path) {
  std::ifstream file(path);
  std::uint64_t bytes = 0;
  return file >> bytes ? bytes : UINT64_MAX;
}

// Of `cgroup`, a path that begins with a slash, and of each one above it up to the root of what is mounted. Where our
// root is the cgroup of a container, the path is that of another root, and its limit is in the files of ours.
std::uint64_t least_limit(const std::string& mounted, std::string cgroup,
                          std::initializer_list<std::string_view> files) {
  std::uint64_t least = UINT64_MAX;
  for (;;) {
    for (const std::string_view file : files) {
      least = std::min(least, limit_in(mounted + cgroup + "/" + std::string(file)));
    }
    if (cgroup.empty()) return least;
    cgroup.resize(cgroup.rfind('/'));
  }
}

bool names_memory(std::string_view controllers) {
  return ("," + std::string(controllers) + ",").find(",memory,") != std::string::npos;
}

}  // namespace

std::uint64_t machine_memory_bytes(const MemoryPaths& paths) {
  std::uint64_t bytes = memory_total(paths.meminfo);
  std::ifstream self(paths.self);
  // "0::/user.slice" of cgroup v2, "4:cpu,memory:/docker/1" of v1
  for (std::string line; std::getline(self, line);) {
    const std::size_t first = line.find(':');
    const std::size_t second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos || line.size() <= second + 1) continue;
    if (line[second + 1] != '/') continue;
    const std::string_view controllers = std::string_view(line).substr(first + 1, second - first - 1);
    std::string cgroup = line.substr(second + 1);
    if (controllers.empty()) {
      bytes = std::min(bytes, least_limit(paths.root, std::move(cgroup), {"memory.max", "memory.high"}));
    } else if (names_memory(controllers)) {
      bytes = std::min(bytes, least_limit(paths.root + "/memory", std::move(cgroup), {"memory.limit_in_bytes"}));
    }
  }
  return bytes == UINT64_MAX ? 0 : bytes;
}

}  // namespace quern::supervisor
