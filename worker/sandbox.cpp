#include "worker/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <vector>

#include "common/unique_fd.h"

namespace quern::worker {
namespace {

constexpr unsigned kNobody = 65534;
// Far more than a job's parts. Not tighter, because the kernel counts all of a user's descriptors that
// are on their way in sockets against the sender's limit (unix(7), ETOOMANYREFS). A hostile worker
// can have about 1500 of them on their way (supervisor/worker.cpp).
constexpr rlim_t kDescriptorsMax = 16384;

void close_others(std::span<const int> keep) {
  if (const unique_fd null(::open("/dev/null", O_RDONLY | O_CLOEXEC)); null) (void)::dup2(null.get(), STDIN_FILENO);
  (void)::dup2(STDERR_FILENO, STDOUT_FILENO);  // what a library prints is a log line
  std::vector<int> sorted(keep.begin(), keep.end());
  std::ranges::sort(sorted);
  unsigned first = 3;
  for (const int fd : sorted) {
    if (static_cast<unsigned>(fd) > first) (void)::close_range(first, static_cast<unsigned>(fd) - 1, 0);
    first = static_cast<unsigned>(fd) + 1;
  }
  (void)::close_range(first, ~0U, 0);
}

// Lowers a limit for good; one that is lower already stays.
Result<void> limit(__rlimit_resource resource, rlim_t value) {
  rlimit now{};
  if (::getrlimit(resource, &now) != 0) return system_error("getrlimit", "", errno);
  const rlim_t lowest = std::min(value, now.rlim_max);
  const rlimit lowered{lowest, lowest};
  if (::setrlimit(resource, &lowered) != 0) return system_error("setrlimit", "", errno);
  return {};
}

// The size of the whole address space now; 0 when it can't be read.
std::uint64_t address_space_bytes() {
  std::uint64_t pages = 0;
  if (std::FILE* statm = std::fopen("/proc/self/statm", "re"); statm != nullptr) {
    if (std::fscanf(statm, "%lu", &pages) != 1) pages = 0;
    (void)std::fclose(statm);
  }
  return pages * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

Result<void> limit_resources(const SandboxOptions& options) {
  if (auto limited = limit(RLIMIT_CORE, 0); !limited) return limited;
  if (auto limited = limit(RLIMIT_NOFILE, kDescriptorsMax); !limited) return limited;
  if (options.memory_bytes_max == 0) return {};
  const std::uint64_t occupied = address_space_bytes();
  if (occupied == 0) return system_error("read", "/proc/self/statm", errno);
  return limit(RLIMIT_AS, occupied + options.memory_bytes_max);
}

// Root becomes nobody. In a container that withholds CAP_SETUID or CAP_SETGID it can't, and stays a
// root without capabilities.
Result<void> drop_root() {
  if (::geteuid() != 0) return {};
  const bool dropped = ::setgroups(0, nullptr) == 0 && ::setresgid(kNobody, kNobody, kNobody) == 0 &&
                       ::setresuid(kNobody, kNobody, kNobody) == 0;
  if (!dropped && errno != EPERM) return system_error("setresuid", "nobody", errno);
  return {};
}

// Also those that a service manager or the executable's file gave to another user than root.
Result<void> drop_capabilities() {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  const __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3]{};
  if (::syscall(SYS_capset, &header, none) != 0) return system_error("capset", "", errno);
  return {};
}

}  // namespace

bool die_with_supervisor(int supervisor_pid) noexcept {
  return ::prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && ::getppid() == supervisor_pid;
}

Result<void> enter_sandbox(const SandboxOptions& options, const FilterProgram& filter, std::span<const int> keep) {
  close_others(keep);
  if (options.processes == Processes::kAllowed) {
    if (::setsid() < 0) return system_error("setsid", "", errno);
    if (::prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) return system_error("prctl", "PR_SET_CHILD_SUBREAPER", errno);
  }
  if (auto limited = limit_resources(options); !limited) return limited;
  if (auto dropped = drop_root(); !dropped) return dropped;
  if (auto dropped = drop_capabilities(); !dropped) return dropped;
  // a change of identity clears the death signal: ask again, and look again
  if (!die_with_supervisor(options.supervisor_pid)) {
    return Error{.code = ErrorCode::kUnavailable, .message = "the supervisor is gone"};
  }
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return system_error("prctl", "PR_SET_NO_NEW_PRIVS", errno);
  return load_filter(filter, options.processes);
}

}  // namespace quern::worker
