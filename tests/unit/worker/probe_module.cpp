// The probe module: what the worker's tests run inside a worker. Each kind looks at, or provokes, one
// thing that a real module should never need.
#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <map>
#include <new>
#include <string>
#include <thread>

#include "worker/sdk/job.h"

namespace {

namespace sdk = quern::sdk;
using sdk::ParamType;

void echo(sdk::Job& job) {
  for (const sdk::InputPart& part : job.inputs()) job.output(part.name).write(part.bytes);
}

void about(sdk::Job& job) { job.output().write(fmt::format("attempt {}", job.attempt())); }

void produce(sdk::Job& job) {
  for (std::int64_t part = 0; part < job.integer("parts"); ++part) {
    sdk::Output& output = job.output(fmt::format("part-{}", part));
    for (std::int64_t done = 0; done < job.integer("bytes"); ++done) {
      output.prepare(1)[0] = static_cast<std::byte>('a' + part);
      output.commit(1);
    }
  }
}

void fail(sdk::Job& job) {
  const std::string_view how = job.string("how");
  if (how == "bad_input") throw sdk::JobError(sdk::JobErrorCode::kBadInput, "line one\nline two \xff");
  if (how == "long")
    throw sdk::JobError(sdk::JobErrorCode::kInvalidArgument, std::string(9000, 'm'), std::string(9000, 'f'));
  if (how == "exception") throw std::runtime_error("a library said no");
  if (how == "bad_alloc") throw std::bad_alloc();
  throw 42;
}

void die(sdk::Job& job) {
  const std::int64_t code = job.integer("exit");
  if (code >= 0) ::exit(static_cast<int>(code));
  const int signal = static_cast<int>(job.integer("signal"));
  ::signal(signal, SIG_DFL);
  ::raise(signal);
}

void wait(sdk::Job& job) {
  job.progress(1, 2, "half\nway");
  while (!job.cancel_requested()) {
    const timespec pause{.tv_sec = 0, .tv_nsec = 1'000'000};
    ::nanosleep(&pause, nullptr);
  }
  job.throw_if_cancelled();
}

void allocate(sdk::Job& job) {
  std::vector<char> memory(static_cast<std::size_t>(job.integer("bytes")), 'x');
  job.output().write(fmt::format("{}", memory.size()));
}

// What is left of this process's rights.
void identity(sdk::Job& job) {
  rlimit core{};
  ::getrlimit(RLIMIT_CORE, &core);
  std::string open;
  for (int fd = 0; fd < 100; ++fd) {
    if (::fcntl(fd, F_GETFD) >= 0) open += fmt::format("{} ", fd);
  }
  job.output().write(fmt::format("uid {} core {} fds {}", ::getuid(), core.rlim_cur, open));
}

int start_thread() {
  try {
    std::thread([] {}).join();
    return 0;
  } catch (const std::system_error&) {
    return -1;
  }
}

// Makes one system call and says what came of it.
void call(sdk::Job& job) {
  const std::map<std::string_view, int (*)()> calls{
      {"execve",
       [] {
         char* const nothing[] = {nullptr};
         return ::execv("/bin/true", nothing);
       }},
      {"socket", [] { return ::socket(AF_INET, SOCK_STREAM, 0); }},
      {"fork", [] { return static_cast<int>(::fork()); }},
      {"vfork", [] { return static_cast<int>(::syscall(SYS_vfork)); }},
      {"system", [] { return ::system("true"); }},
      {"ptrace", [] { return static_cast<int>(::syscall(SYS_ptrace, 0, 0, 0, 0)); }},
      {"kill_parent", [] { return ::kill(::getppid(), 0); }},
      {"kill_group", [] { return ::kill(0, 0); }},
      {"tgkill_parent", [] { return static_cast<int>(::syscall(SYS_tgkill, ::getppid(), ::getppid(), 0)); }},
      {"kill_self", [] { return ::kill(::getpid(), 0); }},
      {"io_uring", [] { return static_cast<int>(::syscall(SYS_io_uring_setup, 1, nullptr)); }},
      {"kill_all", [] { return ::kill(-1, 0); }},
      {"unix_socket", [] { return ::socket(AF_UNIX, SOCK_STREAM, 0); }},
      {"pair",
       [] {
         int ends[2];
         return ::socketpair(AF_UNIX, SOCK_STREAM, 0, ends);
       }},
      {"unshare", [] { return ::unshare(CLONE_NEWUSER); }},
      {"clone3", [] { return static_cast<int>(::syscall(SYS_clone3, nullptr, 0)); }},
      {"parents_limit",
       [] {
         rlimit limit{};
         return ::prlimit(::getppid(), RLIMIT_NOFILE, nullptr, &limit);
       }},
      {"thread", start_thread},
      {"open", [] { return ::open("/etc/passwd", O_RDONLY); }},
      {"mkdir", [] { return ::syscall(SYS_mkdir, "/tmp/quern-probe", 0700) == 0 ? 0 : -1; }},
      {"unblock", [] { return ::fcntl(2, F_SETFL, 0); }},
      {"own", [] { return ::fcntl(2, F_SETOWN, ::getppid()); }},
      {"outlive", [] { return ::prctl(PR_SET_PDEATHSIG, 0); }},
      {"more_memory",
       [] {
         const rlimit none{RLIM_INFINITY, RLIM_INFINITY};
         return ::setrlimit(RLIMIT_AS, &none);
       }},
  };
  errno = 0;
  const int result = calls.at(job.string("name"))();
  job.output().write(result >= 0 ? "allowed" : ::strerrorname_np(errno));
}

sdk::ParamSpec text(std::string name) {
  return {.name = std::move(name), .type = ParamType::kString, .help = "", .required = true};
}
sdk::ParamSpec number(std::string name, std::int64_t fallback) {
  return {.name = std::move(name), .type = ParamType::kInteger, .help = "", .fallback = fallback};
}

sdk::Kind kind(std::string name, void (*run)(sdk::Job&), std::vector<sdk::ParamSpec> params = {}) {
  return {.name = std::move(name),
          .summary = "",
          .params = std::move(params),
          .input = {.parts_min = 0, .parts_max = 1024, .help = "anything"},
          .output = "",
          .run = run};
}

sdk::Module describe_module() {
  sdk::Kind secret = kind("probe.secret", echo, {text("pepper")});
  secret.sensitive = true;
  return {.name = "probe",
          .kinds = {kind("probe.echo", echo), kind("probe.about", about),
                    kind("probe.produce", produce, {number("parts", 1), number("bytes", 1)}),
                    kind("probe.fail", fail, {text("how")}),
                    kind("probe.die", die, {number("exit", -1), number("signal", 0)}), kind("probe.wait", wait),
                    kind("probe.allocate", allocate, {number("bytes", 0)}), kind("probe.identity", identity),
                    kind("probe.call", call, {text("name")}), secret}};
}

}  // namespace

QUERN_JOB_MODULE(describe_module)
