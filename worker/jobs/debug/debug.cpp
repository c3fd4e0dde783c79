// The debug module: jobs that echo, wait, burn, die and misbehave on request. Tests, benchmarks and
// health canaries use it; it is not loaded unless a pool names it.
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <new>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "worker/sdk/job.h"

namespace {

namespace sdk = quern::sdk;
using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr std::size_t kPageBytes = 4096;
constexpr double kMillisecondsMax = 3'600'000;

// Sleeps to `until` in slices, so that a raised cancel word is seen within 5 ms.
void sleep_until(Clock::time_point until, const sdk::Job* cancellable) {
  constexpr auto kSlice = milliseconds(5);
  for (auto now = Clock::now(); now < until; now = Clock::now()) {
    if (cancellable != nullptr) cancellable->throw_if_cancelled();
    const auto slice = std::min<Clock::duration>(until - now, kSlice);
    const auto ns = std::chrono::duration_cast<std::chrono::nanoseconds>(slice).count();
    const timespec pause{.tv_sec = 0, .tv_nsec = ns};
    ::nanosleep(&pause, nullptr);
  }
}

// Whether this attempt is one of those that should fail.
bool misbehaves(const sdk::Job& job) {
  const auto until_attempt = job.integer("until_attempt");
  return until_attempt == 0 || job.attempt() < static_cast<std::uint64_t>(until_attempt);
}

void echo(sdk::Job& job) {
  std::uint64_t sum = 0;
  for (const sdk::InputPart& part : job.inputs()) {
    if (job.boolean("touch")) {
      for (std::size_t at = 0; at < part.bytes.size(); at += kPageBytes)
        sum += std::to_integer<unsigned>(part.bytes[at]);
    }
    job.forward(part, part.name);
  }
  asm volatile("" : : "r"(sum));  // the reading is the purpose
}

void sleep(sdk::Job& job) {
  sleep_until(Clock::now() + milliseconds(job.integer("ms")), &job);
  job.output().write("slept\n");
}

void spin(sdk::Job& job) {
  const auto until = Clock::now() + milliseconds(job.integer("ms"));
  std::uint64_t rounds = 0;
  while (Clock::now() < until) {
    if ((++rounds & 0xff) == 0) job.throw_if_cancelled();
  }
  job.output().write("spun\n");
}

void exit(sdk::Job& job) {
  if (misbehaves(job)) ::_exit(static_cast<int>(job.integer("code")));
  job.output().write(fmt::format("survived attempt {}\n", job.attempt()));
}

// With the default disposition and unblocked, whatever the process, or a sanitizer in it, has set up.
[[noreturn]] __attribute__((no_sanitize_undefined)) void die_by(int signal) {
  ::signal(signal, SIG_DFL);
  sigset_t only;
  ::sigemptyset(&only);
  ::sigaddset(&only, signal);
  ::sigprocmask(SIG_UNBLOCK, &only, nullptr);
  if (signal == SIGSEGV) *static_cast<int volatile*>(nullptr) = 1;  // the real thing, not an imitation
  ::raise(signal);
  ::_exit(127);  // a signal that does not kill
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

// Takes none of it: what is tested is who waits for whom.
void reserve(sdk::Job& job) {
  job.reserve_memory(static_cast<std::uint64_t>(job.integer("bytes")));
  sleep_until(Clock::now() + milliseconds(job.integer("ms")), &job);
  for (const double then : job.numbers("then_bytes")) {
    job.reserve_memory(static_cast<std::uint64_t>(then));
    sleep_until(Clock::now() + milliseconds(job.integer("then_ms")), &job);
  }
  job.output().write("reserved\n");
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

void progress(sdk::Job& job) {
  const auto steps = static_cast<std::uint64_t>(job.integer("steps"));
  for (std::uint64_t step = 1; step <= steps; ++step) {
    sleep_until(Clock::now() + milliseconds(job.integer("ms")), &job);
    job.progress(step, steps, job.string("message"));
  }
  job.output().write("done\n");
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

void end_like(sdk::Job& job, std::string_view end) {
  if (end == "crash") die_by(SIGSEGV);
  if (end == "fail") throw sdk::JobError(sdk::JobErrorCode::kBadInput, "asked to fail after its result");
  if (end == "wait") sleep_until(Clock::time_point::max(), &job);
}

void produce(sdk::Job& job) {
  const auto bytes = static_cast<std::size_t>(job.integer("bytes"));
  const auto piece_bytes = static_cast<std::size_t>(job.integer("piece_bytes"));
  sdk::Output& output = job.output();
  for (std::size_t done = 0; done < bytes;) {
    sleep_until(Clock::now() + milliseconds(job.integer("ms")), &job);
    job.throw_if_cancelled();
    const std::size_t n = std::min(piece_bytes, bytes - done);
    const auto room = output.prepare(n);
    for (std::size_t i = 0; i < n; ++i) room[i] = static_cast<std::byte>((done + i) % 251);
    output.commit(n);
    output.flush();
    done += n;
    job.progress(done, bytes);
  }
  end_like(job, job.string("then"));
}

// Dies between the two halves of what others wait for.
void add_and_die(sdk::Job& job) {
  job.shared().front().as<std::uint32_t>(0, 1)[0].fetch_add(1);
  die_by(SIGKILL);
}

void wait_for_word(sdk::Job& job) {
  const auto words = job.shared().front().as<std::uint32_t>(0, 1);
  const auto result =
      job.wait(words, 0, static_cast<std::uint32_t>(job.integer("expected")), milliseconds(job.integer("ms")));
  job.output().write(result == quern::WaitResult::kChanged ? "changed\n" : "timed out\n");
}

// Answers each change of word 0 by making word 1 the same, until it has seen the last round.
void pong(sdk::Job& job) {
  const auto words = job.shared().front().as<std::uint32_t>(0, 2);
  const auto rounds = static_cast<std::uint32_t>(job.integer("rounds"));
  for (std::uint32_t seen = 0; seen < rounds;) {
    if (job.wait(words, 0, seen, std::chrono::minutes(1)) == quern::WaitResult::kTimedOut) {
      throw sdk::JobError(sdk::JobErrorCode::kBadInput, "nobody pings");
    }
    seen = words[0].load();
    words[1].store(seen);
    words.notify_one(1);
  }
}

sdk::ParamSpec milliseconds_param(std::int64_t fallback) {
  return {.name = "ms",
          .type = sdk::ParamType::kInteger,
          .help = "how long, in milliseconds",
          .fallback = fallback,
          .min = 0,
          .max = kMillisecondsMax};
}

sdk::ParamSpec until_attempt_param() {
  return {.name = "until_attempt",
          .type = sdk::ParamType::kInteger,
          .help = "behave from this attempt on; 0: never",
          .fallback = 0,
          .min = 0,
          .max = 100};
}

sdk::Module describe_kinds() {
  using sdk::ParamType;
  const sdk::InputSpec none{.parts_min = 0, .parts_max = 0, .help = ""};
  return {
      .name = "debug",
      .kinds = {
          {.name = "debug.echo",
           .summary = "Returns its input parts as they are",
           .params = {{.name = "touch",
                       .type = ParamType::kBoolean,
                       .help = "look at every page of them first",
                       .fallback = false}},
           .input = {.parts_min = 0, .parts_max = 64, .help = "anything"},
           .output = "the same parts",
           .run = echo},
          {.name = "debug.noop",
           .summary = "Does nothing",
           .params = {},
           .input = none,
           .output = "no parts",
           .run = [](sdk::Job&) {}},
          {.name = "debug.sleep",
           .summary = "Sleeps, and stops when cancelled",
           .params = {milliseconds_param(100)},
           .input = none,
           .output = "a line of text",
           .run = sleep},
          {.name = "debug.spin",
           .summary = "Burns a processor, and stops when cancelled",
           .params = {milliseconds_param(100)},
           .input = none,
           .output = "a line of text",
           .run = spin},
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
           .params = {{.name = "bytes",
                       .type = ParamType::kInteger,
                       .help = "how much",
                       .required = true,
                       .min = 1,
                       .max = 1e12},
                      {.name = "on_failure",
                       .type = ParamType::kString,
                       .help = "what to do when there is not as much",
                       .fallback = "error",
                       .choices = {"error", "abort", "crash", "terminate"}}},
           .input = none,
           .output = "the number of bytes",
           .run = allocate},
          {.name = "debug.reserve",
           .summary = "Reserves memory of its pool's budget for a while, and takes none of it",
           .params = {{.name = "bytes",
                       .type = ParamType::kInteger,
                       .help = "how much",
                       .required = true,
                       .min = 0,
                       .max = 1e12},
                      milliseconds_param(0),
                      {.name = "then_bytes",
                       .type = ParamType::kNumbers,
                       .help = "then so much instead, one after the other",
                       .fallback = boost::json::array(),
                       .max = 1000},
                      {.name = "then_ms",
                       .type = ParamType::kInteger,
                       .help = "each of them for so long, in milliseconds",
                       .fallback = 0,
                       .min = 0,
                       .max = kMillisecondsMax}},
           .input = none,
           .output = "a line of text",
           .run = reserve},
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
          {.name = "debug.progress",
           .summary = "Reports its progress in steps",
           .params = {{.name = "steps",
                       .type = ParamType::kInteger,
                       .help = "how many",
                       .fallback = 10,
                       .min = 1,
                       .max = 1e6},
                      milliseconds_param(50),
                      {.name = "message",
                       .type = ParamType::kString,
                       .help = "said with each step",
                       .fallback = "",
                       .max = 1000}},
           .input = none,
           .output = "a line of text",
           .run = progress},
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
           .params = {{.name = "children",
                       .type = ParamType::kInteger,
                       .help = "how many",
                       .fallback = 1,
                       .min = 1,
                       .max = 100},
                      milliseconds_param(1000),
                      {.name = "daemonize",
                       .type = ParamType::kBoolean,
                       .help = "each in a session of its own, and an orphan",
                       .fallback = false},
                      {.name = "block_term",
                       .type = ParamType::kBoolean,
                       .help = "with all signals blocked",
                       .fallback = false}},
           .input = none,
           .output = "how many",
           .run = fork_children},
          {.name = "debug.produce",
           .summary = "Returns a result of a given size: byte i is i mod 251",
           .params = {{.name = "bytes",
                       .type = ParamType::kInteger,
                       .help = "size of the result",
                       .required = true,
                       .min = 0,
                       .max = 1e12},
                      {.name = "piece_bytes",
                       .type = ParamType::kInteger,
                       .help = "made at once",
                       .fallback = 1 << 20,
                       .min = 1,
                       .max = 1e9},
                      milliseconds_param(0),
                      {.name = "then",
                       .type = ParamType::kString,
                       .help = "what it does once it has made them",
                       .fallback = "end",
                       .choices = {"end", "fail", "crash", "wait"}}},
           .input = none,
           .output = "that many bytes",
           .run = produce},
          {.name = "debug.add_and_die",
           .summary = "Adds 1 to the first word of a shared buffer, and kills its worker before it tells anybody",
           .params = {},
           .input = none,
           .output = "nothing",
           .run = add_and_die},
          {.name = "debug.wait",
           .summary = "Waits until the first word of a shared buffer is not what is expected",
           .params = {{.name = "expected",
                       .type = ParamType::kInteger,
                       .help = "what the word holds now",
                       .fallback = 0,
                       .min = 0,
                       .max = 4294967295.0},
                      milliseconds_param(1000)},
           .input = none,
           .output = "changed, or timed out",
           .run = wait_for_word},
          {.name = "debug.pong",
           .summary = "Answers each change of a shared buffer's first word by making the second the same",
           .params = {{.name = "rounds",
                       .type = ParamType::kInteger,
                       .help = "the value after which to end",
                       .fallback = 1000,
                       .min = 1,
                       .max = 4294967295.0}},
           .input = none,
           .output = "nothing",
           .run = pong},
      }};
}

sdk::Module describe_module() {
  sdk::Module module = describe_kinds();
  sdk::Canary canary;
  canary.input = "tweet";
  module.kinds.front().canary = canary;  // debug.echo's
  for (sdk::Kind& kind : module.kinds) {
    const bool shares = kind.name == "debug.add_and_die" || kind.name == "debug.wait" || kind.name == "debug.pong";
    if (shares) kind.shared = {.buffers_min = 1, .buffers_max = 1, .help = "32-bit words"};
  }
  return module;
}

}  // namespace

QUERN_JOB_MODULE(describe_module)
