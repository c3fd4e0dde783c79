#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <new>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "worker/jobs/debug/kinds.h"

namespace quern::debug {

using std::chrono::milliseconds;

// With the default disposition and unblocked, whatever the process, or a sanitizer in it, has set up.
__attribute__((no_sanitize("undefined"))) void die_by(int signal) {
  ::signal(signal, SIG_DFL);
  sigset_t only;
  ::sigemptyset(&only);
  ::sigaddset(&only, signal);
  ::sigprocmask(SIG_UNBLOCK, &only, nullptr);
  if (signal == SIGSEGV) *static_cast<int volatile*>(nullptr) = 1;  // the real thing, not an imitation
  ::raise(signal);
  ::_exit(127);  // a signal that does not kill
}

namespace {

// Whether this attempt is one of those that should fail.
bool misbehaves(const sdk::Job& job) {
  const auto until_attempt = job.integer("until_attempt");
  return until_attempt == 0 || job.attempt() < static_cast<std::uint64_t>(until_attempt);
}

void exit(sdk::Job& job) {
  if (misbehaves(job)) ::_exit(static_cast<int>(job.integer("code")));
  job.output().write(fmt::format("survived attempt {}\n", job.attempt()));
}

void crash(sdk::Job& job) {
  sleep_until(Clock::now() + milliseconds(job.integer("after_ms")), nullptr);
  if (misbehaves(job)) die_by(static_cast<int>(job.integer("signal")));
  job.output().write(fmt::format("survived attempt {}\n", job.attempt()));
}

// As libraries do that never expect a null pointer, or never an exception.
void allocate_or_die(std::size_t bytes, std::string_view on_failure) noexcept {
  if (on_failure == "terminate") {
    ::operator delete(::operator new(bytes));
    return;
  }
  auto* memory = static_cast<char*>(std::malloc(bytes));
  if (memory == nullptr && on_failure == "abort") std::abort();
  *static_cast<char volatile*>(memory) = 1;
  std::free(memory);
}

void allocate(sdk::Job& job) {
  const auto bytes = static_cast<std::size_t>(job.integer("bytes"));
  if (job.string("on_failure") != "error") allocate_or_die(bytes, job.string("on_failure"));
  void* memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  auto* first = static_cast<char*>(memory);
  for (std::size_t at = 0; at < bytes; at += 4096) first[at] = 1;
  ::munmap(memory, bytes);
  job.output().write(fmt::format("{}\n", bytes));
}

void ignore_cancel(sdk::Job& job) {
  sigset_t all;
  ::sigfillset(&all);
  ::sigprocmask(SIG_BLOCK, &all, nullptr);
  sleep_until(Clock::now() + milliseconds(job.integer("ms")), nullptr);
  ::sigprocmask(SIG_UNBLOCK, &all, nullptr);
  job.output().write("ignored\n");
}

// In the order of sdk::JobErrorCode.
const std::vector<std::string> kErrorCodes{"invalid_argument", "bad_input", "too_large",
                                           "out_of_memory",    "cancelled", "internal"};

void fail(sdk::Job& job) {
  const auto code = std::ranges::find(kErrorCodes, job.string("code")) - kErrorCodes.begin();
  throw sdk::JobError(static_cast<sdk::JobErrorCode>(code), std::string(job.string("message")),
                      std::string(job.string("field")));
}

void forbidden(sdk::Job& job) {
  const std::string_view call = job.string("call");
  if (call == "exec") {
    const char* argv[] = {"/bin/true", nullptr};
    ::execv(argv[0], const_cast<char* const*>(argv));
  } else if (call == "kill") {
    ::kill(::getppid(), 0);
  } else {
    const pid_t child = ::fork();
    if (child == 0) ::_exit(0);
    if (child < 0) throw sdk::JobError(sdk::JobErrorCode::kInternal, "fork was refused");
  }
  job.output().write("was allowed\n");
}

[[noreturn]] void live_as_child(std::int64_t ms, bool daemonize) {
  if (daemonize) {
    ::setsid();
    if (::fork() != 0) ::_exit(0);
  }
  sleep_until(Clock::now() + milliseconds(ms), nullptr);
  ::_exit(0);
}

// Leaves its children behind; with `daemonize` they are nobody's.
void fork_children(sdk::Job& job) {
  sigset_t all;
  ::sigfillset(&all);
  if (job.boolean("block_term")) ::sigprocmask(SIG_BLOCK, &all, nullptr);
  for (std::int64_t i = 0; i < job.integer("children"); ++i) {
    const pid_t child = ::fork();
    if (child < 0) throw sdk::JobError(sdk::JobErrorCode::kInternal, "fork was refused");
    if (child == 0) live_as_child(job.integer("ms"), job.boolean("daemonize"));
    if (job.boolean("daemonize")) ::waitpid(child, nullptr, 0);
  }
  sleep_until(Clock::now() + milliseconds(job.integer("ms")), nullptr);
  job.output().write(fmt::format("{}\n", job.integer("children")));
}

sdk::ParamSpec until_attempt_param() {
  return {.name = "until_attempt",
          .type = sdk::ParamType::kInteger,
          .help = "behave from this attempt on; 0: never",
          .fallback = 0,
          .min = 0,
          .max = 100};
}

}  // namespace

std::vector<sdk::Kind> misbehaving_kinds() {
  using sdk::ParamType;
  const sdk::InputSpec none{.parts_min = 0, .parts_max = 0, .help = ""};
  return {
      {.name = "debug.exit",
       .summary = "Ends its worker with an exit code",
       .params =
           {{.name = "code", .type = ParamType::kInteger, .help = "exit code", .fallback = 1, .min = 0, .max = 255},
            until_attempt_param()},
       .input = none,
       .output = "a line of text",
       .run = exit},
      {.name = "debug.crash",
       .summary = "Kills its worker by a signal",
       .params = {{.name = "signal",
                   .type = ParamType::kInteger,
                   .help = "signal number",
                   .fallback = SIGSEGV,
                   .min = 1,
                   .max = 64},
                  {.name = "after_ms",
                   .type = ParamType::kInteger,
                   .help = "run this long first",
                   .fallback = 0,
                   .min = 0,
                   .max = kMillisecondsMax},
                  until_attempt_param()},
       .input = {.parts_min = 0, .parts_max = 1, .help = "anything; it is not looked at"},
       .output = "a line of text",
       .run = crash},
      {.name = "debug.allocate",
       .summary = "Allocates memory and touches every page of it",
       .params =
           {{.name = "bytes", .type = ParamType::kInteger, .help = "how much", .required = true, .min = 1, .max = 1e12},
            {.name = "on_failure",
             .type = ParamType::kString,
             .help = "what to do when there is not as much",
             .fallback = "error",
             .choices = {"error", "abort", "crash", "terminate"}}},
       .input = none,
       .output = "the number of bytes",
       .run = allocate},
      {.name = "debug.ignore_cancel",
       .summary = "Sleeps with all signals blocked, whatever anyone asks",
       .params = {milliseconds_param(1000)},
       .input = none,
       .output = "a line of text",
       .run = ignore_cancel},
      {.name = "debug.fail",
       .summary = "Fails with an error",
       .params =
           {{.name = "code",
             .type = ParamType::kString,
             .help = "the error's code",
             .fallback = "bad_input",
             .choices = kErrorCodes},
            {.name = "message",
             .type = ParamType::kString,
             .help = "the error's message",
             .fallback = "asked to fail",
             .max = 1000},
            {.name = "field", .type = ParamType::kString, .help = "the error's field", .fallback = "", .max = 64}},
       .input = none,
       .output = "nothing",
       .run = fail},
      {.name = "debug.forbidden",
       .summary = "Tries what the sandbox forbids",
       .params = {{.name = "call",
                   .type = ParamType::kString,
                   .help = "which system call",
                   .fallback = "exec",
                   .choices = {"exec", "kill", "fork"}}},
       .input = none,
       .output = "a line of text, when it was allowed",
       .run = forbidden},
      {.name = "debug.fork",
       .summary = "Starts children that live as long as itself, whatever anyone asks",
       .params =
           {{.name = "children", .type = ParamType::kInteger, .help = "how many", .fallback = 1, .min = 1, .max = 100},
            milliseconds_param(1000),
            {.name = "daemonize",
             .type = ParamType::kBoolean,
             .help = "each in a session of its own, and an orphan",
             .fallback = false},
            {.name = "block_term", .type = ParamType::kBoolean, .help = "with all signals blocked", .fallback = false}},
       .input = none,
       .output = "how many",
       .run = fork_children},
  };
}

}  // namespace quern::debug
