#include "worker/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <memory>

#include "common/unique_fd.h"
#include "ipc/memfd.h"

namespace quern::worker {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
// The sanitizers' runtimes make calls of their own; what kills stays forbidden for them too.
constexpr std::uint32_t kOtherCalls = SCMP_ACT_ALLOW;
#else
constexpr std::uint32_t kOtherCalls = SCMP_ACT_ERRNO(EPERM);
#endif

// What computing, answering and dying need.
constexpr auto kAllowed = std::to_array<int>({
    // memory
    SCMP_SYS(mmap), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(mprotect), SCMP_SYS(madvise), SCMP_SYS(brk),
    SCMP_SYS(mincore), SCMP_SYS(mlock), SCMP_SYS(munlock), SCMP_SYS(memfd_create), SCMP_SYS(ftruncate),
    SCMP_SYS(fallocate), SCMP_SYS(membarrier),
    // descriptors it already has
    SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(readv), SCMP_SYS(writev), SCMP_SYS(pread64), SCMP_SYS(pwrite64),
    SCMP_SYS(lseek), SCMP_SYS(close), SCMP_SYS(fstat), SCMP_SYS(newfstatat), SCMP_SYS(fcntl), SCMP_SYS(dup),
    SCMP_SYS(recvmsg), SCMP_SYS(sendmsg), SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(select), SCMP_SYS(pselect6),
    // waiting and time
    SCMP_SYS(futex), SCMP_SYS(clock_gettime), SCMP_SYS(clock_getres), SCMP_SYS(clock_nanosleep), SCMP_SYS(nanosleep),
    SCMP_SYS(gettimeofday), SCMP_SYS(time), SCMP_SYS(times), SCMP_SYS(sched_yield), SCMP_SYS(restart_syscall),
    // signals to itself (tgkill is narrowed to its own process by own_process_only)
    SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn), SCMP_SYS(sigaltstack), SCMP_SYS(tgkill),
    // questions
    SCMP_SYS(getpid), SCMP_SYS(gettid), SCMP_SYS(getppid), SCMP_SYS(getuid), SCMP_SYS(geteuid), SCMP_SYS(getgid),
    SCMP_SYS(getegid), SCMP_SYS(getrandom), SCMP_SYS(getrusage), SCMP_SYS(getrlimit), SCMP_SYS(sysinfo), SCMP_SYS(uname),
    SCMP_SYS(sched_getaffinity), SCMP_SYS(getcpu),
    // the C library's own
    SCMP_SYS(set_robust_list), SCMP_SYS(rseq), SCMP_SYS(arch_prctl), SCMP_SYS(exit), SCMP_SYS(exit_group),
});

// What no job module has any business with: trying is the end of the worker, and is counted.
constexpr auto kDeadly = std::to_array<int>({
    SCMP_SYS(execve), SCMP_SYS(execveat), SCMP_SYS(fork), SCMP_SYS(vfork), SCMP_SYS(socket), SCMP_SYS(socketpair),
    SCMP_SYS(connect), SCMP_SYS(bind), SCMP_SYS(listen), SCMP_SYS(accept), SCMP_SYS(accept4), SCMP_SYS(ptrace),
    SCMP_SYS(process_vm_readv), SCMP_SYS(process_vm_writev), SCMP_SYS(kill), SCMP_SYS(tkill), SCMP_SYS(rt_sigqueueinfo),
    SCMP_SYS(rt_tgsigqueueinfo), SCMP_SYS(pidfd_open), SCMP_SYS(pidfd_getfd), SCMP_SYS(pidfd_send_signal),
    SCMP_SYS(mount), SCMP_SYS(umount2), SCMP_SYS(pivot_root), SCMP_SYS(chroot), SCMP_SYS(setns), SCMP_SYS(unshare),
    SCMP_SYS(bpf), SCMP_SYS(perf_event_open), SCMP_SYS(io_uring_setup), SCMP_SYS(userfaultfd), SCMP_SYS(keyctl),
    SCMP_SYS(add_key), SCMP_SYS(request_key), SCMP_SYS(init_module), SCMP_SYS(finit_module), SCMP_SYS(delete_module),
    SCMP_SYS(kexec_load), SCMP_SYS(reboot), SCMP_SYS(swapon), SCMP_SYS(swapoff), SCMP_SYS(open_by_handle_at),
});

constexpr unsigned kNobody = 65534;
constexpr rlim_t kDescriptorsMax = 512;

Result<void> add_rules(scmp_filter_ctx context) {
  const auto add = [&](std::uint32_t action, int call) {
    const int failure = seccomp_rule_add(context, action, call, 0);
    return failure == 0 || failure == -EACCES;  // -EACCES: it is the default action already
  };
  const auto refused = [](int call) {
    return Error{.code = ErrorCode::kInternal, .message = fmt::format("seccomp refused the rule for call {}", call)};
  };
  for (const int call : kAllowed) {
    if (!add(SCMP_ACT_ALLOW, call)) return refused(call);
  }
  for (const int call : kDeadly) {
    if (!add(SCMP_ACT_KILL_PROCESS, call)) return refused(call);
  }
  // limits may be read, not changed
  if (seccomp_rule_add(context, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 1, SCMP_A2_64(SCMP_CMP_EQ, 0)) < 0 &&
      kOtherCalls != SCMP_ACT_ALLOW) {
    return refused(SCMP_SYS(prlimit64));
  }
  return {};
}

// A second filter, on top: tgkill only with this process as its target.
std::array<sock_filter, 7> own_process_only() {
  const auto pid = static_cast<std::uint32_t>(::getpid());
  return {{
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_tgkill, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args[0])),  // the low half; pids have 22 bits
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, pid, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  }};
}

Result<void> load_filter(std::span<const sock_filter> program) {
  const sock_fprog filter{.len = static_cast<unsigned short>(program.size()),
                          .filter = const_cast<sock_filter*>(program.data())};
  if (::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) != 0) return system_error("seccomp", "filter", errno);
  return {};
}

void limit_resources(const SandboxOptions& options) {
  const rlimit no_core{0, 0};
  (void)::setrlimit(RLIMIT_CORE, &no_core);
  const rlimit descriptors{kDescriptorsMax, kDescriptorsMax};
  (void)::setrlimit(RLIMIT_NOFILE, &descriptors);
  if (options.memory_bytes_max == 0) return;
  std::uint64_t pages = 0;  // statm's first number: the size of the whole address space
  if (std::FILE* statm = std::fopen("/proc/self/statm", "re"); statm != nullptr) {
    if (std::fscanf(statm, "%lu", &pages) != 1) pages = 0;
    (void)std::fclose(statm);
  }
  const rlim_t bytes = pages * static_cast<rlim_t>(::sysconf(_SC_PAGESIZE)) + options.memory_bytes_max;
  const rlimit space{bytes, bytes};
  (void)::setrlimit(RLIMIT_AS, &space);
}

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

Result<void> drop_root() {
  if (::geteuid() != 0) return {};
  if (::setgroups(0, nullptr) != 0) return system_error("setgroups", "nobody", errno);
  if (::setresgid(kNobody, kNobody, kNobody) != 0) return system_error("setresgid", "nobody", errno);
  if (::setresuid(kNobody, kNobody, kNobody) != 0) return system_error("setresuid", "nobody", errno);
  return {};  // with the last uid 0 gone the kernel clears every capability set (capabilities(7))
}

}  // namespace

bool die_with_supervisor(int supervisor_pid) noexcept {
  return ::prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && ::getppid() == supervisor_pid;
}

Result<FilterProgram> build_filter() {
  const std::unique_ptr<void, void (*)(scmp_filter_ctx)> context(seccomp_init(kOtherCalls), seccomp_release);
  if (!context) return Error{.code = ErrorCode::kInternal, .message = "seccomp_init failed"};
  if (auto added = add_rules(context.get()); !added) return added.error();
  auto file = ipc::create_memfd("seccomp", 0);
  if (!file) return file.error();
  if (const int failure = seccomp_export_bpf(context.get(), file->get()); failure != 0) {
    return system_error("seccomp_export_bpf", "filter", -failure);
  }
  const off_t bytes = ::lseek(file->get(), 0, SEEK_END);
  FilterProgram program(static_cast<std::size_t>(bytes) / sizeof(sock_filter));
  if (::pread(file->get(), program.data(), static_cast<std::size_t>(bytes), 0) != bytes) {
    return system_error("pread", "filter", errno);
  }
  return program;
}

Result<void> enter_sandbox(const SandboxOptions& options, const FilterProgram& filter, std::span<const int> keep) {
  close_others(keep);
  limit_resources(options);
  if (auto dropped = drop_root(); !dropped) return dropped;
  // a change of identity clears the death signal: ask again, and look again
  if (!die_with_supervisor(options.supervisor_pid)) {
    return Error{.code = ErrorCode::kUnavailable, .message = "the supervisor is gone"};
  }
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return system_error("prctl", "PR_SET_NO_NEW_PRIVS", errno);
  if (auto loaded = load_filter(own_process_only()); !loaded) return loaded;
  return load_filter(filter);
}

}  // namespace quern::worker
