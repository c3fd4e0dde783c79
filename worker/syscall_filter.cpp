#include "worker/syscall_filter.h"

#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <span>

#include "common/sanitizer.h"
#include "ipc/memfd.h"

namespace quern::worker {
namespace {

// The sanitizers' runtimes make calls of their own; what kills stays forbidden for them too.
constexpr std::uint32_t kOtherCalls = kSanitized ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO(EPERM);

constexpr auto kAllowed = std::to_array<int>({
    // memory
    SCMP_SYS(mmap),
    SCMP_SYS(munmap),
    SCMP_SYS(mremap),
    SCMP_SYS(mprotect),
    SCMP_SYS(madvise),
    SCMP_SYS(brk),
    SCMP_SYS(mincore),
    SCMP_SYS(mlock),
    SCMP_SYS(munlock),
    SCMP_SYS(memfd_create),
    SCMP_SYS(ftruncate),
    SCMP_SYS(fallocate),
    SCMP_SYS(membarrier),
    // descriptors it already has
    SCMP_SYS(read),
    SCMP_SYS(write),
    SCMP_SYS(readv),
    SCMP_SYS(writev),
    SCMP_SYS(pread64),
    SCMP_SYS(pwrite64),
    SCMP_SYS(lseek),
    SCMP_SYS(close),
    SCMP_SYS(fstat),
    SCMP_SYS(newfstatat),
    SCMP_SYS(dup),
    SCMP_SYS(recvmsg),
    SCMP_SYS(sendmsg),
    SCMP_SYS(poll),
    SCMP_SYS(ppoll),
    SCMP_SYS(select),
    SCMP_SYS(pselect6),
    // waiting and time
    SCMP_SYS(futex),
    SCMP_SYS(clock_gettime),
    SCMP_SYS(clock_getres),
    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(nanosleep),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(time),
    SCMP_SYS(times),
    SCMP_SYS(sched_yield),
    SCMP_SYS(restart_syscall),
    // signals, to itself only (own_process_only)
    SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(sigaltstack),
    SCMP_SYS(tgkill),
    SCMP_SYS(kill),
    // questions
    SCMP_SYS(getpid),
    SCMP_SYS(gettid),
    SCMP_SYS(getppid),
    SCMP_SYS(getuid),
    SCMP_SYS(geteuid),
    SCMP_SYS(getgid),
    SCMP_SYS(getegid),
    SCMP_SYS(getrandom),
    SCMP_SYS(getrusage),
    SCMP_SYS(getrlimit),
    SCMP_SYS(sysinfo),
    SCMP_SYS(uname),
    SCMP_SYS(sched_getaffinity),
    SCMP_SYS(getcpu),
    // the C library's own
    SCMP_SYS(set_robust_list),
    SCMP_SYS(rseq),
    SCMP_SYS(arch_prctl),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
});

constexpr auto kDeadly = std::to_array<int>({
    SCMP_SYS(execve),
    SCMP_SYS(execveat),
    SCMP_SYS(fork),
    SCMP_SYS(vfork),
    SCMP_SYS(socket),
    SCMP_SYS(socketpair),
    SCMP_SYS(connect),
    SCMP_SYS(bind),
    SCMP_SYS(listen),
    SCMP_SYS(accept),
    SCMP_SYS(accept4),
    SCMP_SYS(ptrace),
    SCMP_SYS(process_vm_readv),
    SCMP_SYS(process_vm_writev),
    SCMP_SYS(tkill),
    SCMP_SYS(rt_sigqueueinfo),
    SCMP_SYS(rt_tgsigqueueinfo),
    SCMP_SYS(pidfd_open),
    SCMP_SYS(pidfd_getfd),
    SCMP_SYS(pidfd_send_signal),
    SCMP_SYS(mount),
    SCMP_SYS(umount2),
    SCMP_SYS(pivot_root),
    SCMP_SYS(chroot),
    SCMP_SYS(setns),
    SCMP_SYS(unshare),
    SCMP_SYS(bpf),
    SCMP_SYS(perf_event_open),
    SCMP_SYS(io_uring_setup),
    SCMP_SYS(userfaultfd),
    SCMP_SYS(keyctl),
    SCMP_SYS(add_key),
    SCMP_SYS(request_key),
    SCMP_SYS(init_module),
    SCMP_SYS(finit_module),
    SCMP_SYS(delete_module),
    SCMP_SYS(kexec_load),
    SCMP_SYS(reboot),
    SCMP_SYS(swapon),
    SCMP_SYS(swapoff),
    SCMP_SYS(open_by_handle_at),
});

// Where processes are allowed.
constexpr auto kRefusedToTrees = std::to_array<int>({
    SCMP_SYS(socket),
    SCMP_SYS(connect),
    SCMP_SYS(bind),
    SCMP_SYS(listen),
    SCMP_SYS(accept),
    SCMP_SYS(accept4),
    SCMP_SYS(ptrace),
    SCMP_SYS(process_vm_readv),
    SCMP_SYS(process_vm_writev),
    SCMP_SYS(process_madvise),
    SCMP_SYS(rt_sigqueueinfo),
    SCMP_SYS(rt_tgsigqueueinfo),
    SCMP_SYS(pidfd_getfd),
    SCMP_SYS(pidfd_send_signal),
    SCMP_SYS(mount),
    SCMP_SYS(umount2),
    SCMP_SYS(fsopen),
    SCMP_SYS(fsmount),
    SCMP_SYS(move_mount),
    SCMP_SYS(open_tree),
    SCMP_SYS(mount_setattr),
    SCMP_SYS(pivot_root),
    SCMP_SYS(chroot),
    SCMP_SYS(setns),
    SCMP_SYS(unshare),
    SCMP_SYS(bpf),
    SCMP_SYS(perf_event_open),
    SCMP_SYS(io_uring_setup),
    SCMP_SYS(userfaultfd),
    SCMP_SYS(keyctl),
    SCMP_SYS(add_key),
    SCMP_SYS(request_key),
    SCMP_SYS(init_module),
    SCMP_SYS(finit_module),
    SCMP_SYS(delete_module),
    SCMP_SYS(kexec_load),
    SCMP_SYS(reboot),
    SCMP_SYS(swapon),
    SCMP_SYS(swapoff),
    SCMP_SYS(open_by_handle_at),
});
// Any of these makes clone a matter of namespaces.
constexpr auto kNamespaceFlags = std::to_array<std::uint64_t>(
    {CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET, CLONE_NEWIPC, CLONE_NEWUTS, CLONE_NEWCGROUP});

// Not F_SETFL, for the eventfd's flags are the supervisor's too; not F_SETOWN, which sends signals.
constexpr auto kFcntlCommands =
    std::to_array<unsigned>({F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD, F_SETFD, F_GETFL, F_ADD_SEALS, F_GET_SEALS});

Error refused(int call) {
  return Error{.code = ErrorCode::kInternal,
               .message = fmt::format("seccomp refused the rule for system call {}", call)};
}

Result<void> add_rule(scmp_filter_ctx context, std::uint32_t action, int call,
                      std::span<const scmp_arg_cmp> when = {}) {
  const int failure = seccomp_rule_add_array(context, action, call, static_cast<unsigned>(when.size()), when.data());
  return failure == 0 ? Result<void>() : refused(call);
}

// As libseccomp's macros SCMP_A0_64 and so on, which are C's alone.
scmp_arg_cmp when_argument(unsigned argument, scmp_compare is, std::uint64_t datum_a, std::uint64_t datum_b = 0) {
  return {.arg = argument, .op = is, .datum_a = datum_a, .datum_b = datum_b};
}

Result<void> add_rules(scmp_filter_ctx context) {
  Result<void> added;
  const auto add = [&](std::uint32_t action, int call, std::span<const scmp_arg_cmp> when = {}) {
    if (added && action != kOtherCalls) added = add_rule(context, action, call, when);  // else it is the default
  };
  for (const int call : kAllowed) add(SCMP_ACT_ALLOW, call);
  for (const int call : kDeadly) add(SCMP_ACT_KILL_PROCESS, call);
  for (const unsigned command : kFcntlCommands) {
    const scmp_arg_cmp is_command = when_argument(1, SCMP_CMP_EQ, command);
    add(SCMP_ACT_ALLOW, SCMP_SYS(fcntl), {&is_command, 1});
  }
  // limits may be read, not changed
  const scmp_arg_cmp no_new_limit = when_argument(2, SCMP_CMP_EQ, 0);
  add(SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), {&no_new_limit, 1});
  // A thread is refused (one thread a job), a process is deadly. clone3 hides its flags from the filter:
  // ENOSYS sends the C library back to clone.
  const scmp_arg_cmp is_process = when_argument(0, SCMP_CMP_MASKED_EQ, CLONE_THREAD, 0);
  add(SCMP_ACT_KILL_PROCESS, SCMP_SYS(clone), {&is_process, 1});
  add(SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3));
  return added;
}

// The low half of an argument, which is all that the kernel takes of an int.
scmp_arg_cmp int_argument(unsigned argument, int value) {
  return when_argument(argument, SCMP_CMP_MASKED_EQ, 0xffffffff, static_cast<std::uint32_t>(value));
}

Result<void> add_tree_rules(scmp_filter_ctx context, int supervisor_pid) {
  Result<void> added;
  const auto refuse = [&](int call, std::span<const scmp_arg_cmp> when = {}) {
    if (added) added = add_rule(context, SCMP_ACT_ERRNO(EPERM), call, when);
  };
  for (const int call : kRefusedToTrees) refuse(call);
  for (const std::uint64_t flag : kNamespaceFlags) {
    const scmp_arg_cmp is_set = when_argument(0, SCMP_CMP_MASKED_EQ, flag, flag);
    refuse(SCMP_SYS(clone), {&is_set, 1});
  }
  const int group = ::getpgid(supervisor_pid);
  for (const int target : {-1, supervisor_pid, -group, ::getpid()}) {
    const scmp_arg_cmp is_target = int_argument(0, target);
    for (const int call : {SCMP_SYS(kill), SCMP_SYS(tkill), SCMP_SYS(tgkill)}) refuse(call, {&is_target, 1});
  }
  const scmp_arg_cmp of_another = when_argument(0, SCMP_CMP_NE, 0);
  refuse(SCMP_SYS(prlimit64), {&of_another, 1});
  const scmp_arg_cmp not_unix = when_argument(0, SCMP_CMP_NE, AF_UNIX);
  refuse(SCMP_SYS(socketpair), {&not_unix, 1});
  if (added) added = add_rule(context, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3));  // its flags can't be seen
  return added;
}

// kill and tgkill only with this process as their target.
std::array<sock_filter, 7> own_process_only() {
  const auto pid = static_cast<std::uint32_t>(::getpid());
  return {{
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_tgkill, 1, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_kill, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args[0])),  // the low half: a pid is an int
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, pid, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  }};
}

Result<void> load(std::span<const sock_filter> program) {
  const sock_fprog filter{.len = static_cast<unsigned short>(program.size()),
                          .filter = const_cast<sock_filter*>(program.data())};
  if (::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) != 0) return system_error("seccomp", "filter", errno);
  return {};
}

}  // namespace

Result<FilterProgram> build_filter(Processes processes, int supervisor_pid) {
  const std::uint32_t other_calls = processes == Processes::kAllowed ? SCMP_ACT_ALLOW : kOtherCalls;
  const std::unique_ptr<void, void (*)(scmp_filter_ctx)> context(seccomp_init(other_calls), seccomp_release);
  if (!context) return Error{.code = ErrorCode::kInternal, .message = "seccomp_init failed"};
  auto added =
      processes == Processes::kAllowed ? add_tree_rules(context.get(), supervisor_pid) : add_rules(context.get());
  if (!added) return added.error();
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

Result<void> load_filter(const FilterProgram& filter, Processes processes) {
  if (processes == Processes::kForbidden) {
    if (auto loaded = load(own_process_only()); !loaded) return loaded;
  }
  return load(filter);
}

}  // namespace quern::worker
