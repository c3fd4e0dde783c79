#include "supervisor/memory_use.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>

#include "common/unique_fd.h"

namespace quern::supervisor {

std::uint64_t resident_bytes(pid_t pid) noexcept {
  char path[32];
  *fmt::format_to(path, "/proc/{}/statm", pid) = '\0';
  const unique_fd file(::open(path, O_RDONLY | O_CLOEXEC));
  char text[128];
  const ssize_t n = file ? ::read(file.get(), text, sizeof text - 1) : -1;
  if (n <= 0) return 0;
  text[n] = '\0';
  unsigned long size = 0;
  unsigned long resident = 0;
  if (std::sscanf(text, "%lu %lu", &size, &resident) != 2) return 0;
  return resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

}  // namespace quern::supervisor
