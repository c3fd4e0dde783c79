#include "tests/fault/tracee.h"

#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <signal.h>
#include <sys/personality.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <deque>
#include <fstream>
#include <string>
#include <unordered_map>
#include <utility>

namespace quern::test {
namespace {

constexpr std::array<std::byte, 2> kSyscallInstruction{std::byte{0x0f}, std::byte{0x05}};

std::uint64_t peek_user(pid_t pid, std::size_t offset) {
  errno = 0;
  return static_cast<std::uint64_t>(::ptrace(PTRACE_PEEKUSER, pid, offset, nullptr));
}

// An INT3 in place of the instruction at an address; what it replaced is put back at the end. In the process' own copy
// of the page: others run on. (Debug registers would change nothing, but some hypervisors let them be set and never
// trap.)
class Breakpoint {
 public:
  Breakpoint(pid_t pid, std::uint64_t address) : pid_(pid), address_(address) {
    errno = 0;
    before_ = ::ptrace(PTRACE_PEEKTEXT, pid_, address_, nullptr);
    set_ = errno == 0 && ::ptrace(PTRACE_POKETEXT, pid_, address_, (before_ & ~0xffL) | kInt3) == 0;
  }
  Breakpoint(const Breakpoint&) = delete;
  Breakpoint& operator=(const Breakpoint&) = delete;
  ~Breakpoint() {
    if (set_) (void)::ptrace(PTRACE_POKETEXT, pid_, address_, before_);
  }
  [[nodiscard]] bool is_set() const { return set_; }

 private:
  static constexpr long kInt3 = 0xcc;
  pid_t pid_;
  std::uint64_t address_;
  long before_ = 0;
  bool set_ = false;
};

// More than any instruction or sleep of a tracee takes, on a machine however busy.
constexpr auto kStopMax = std::chrono::seconds(5);

enum class Stop { kStopped, kGone, kLate };

// On one processor with the tracee, to yield is to let it run.
Stop wait_for_stop(pid_t pid, int& status) {
  const auto limit = std::chrono::steady_clock::now() + kStopMax;
  for (;;) {
    const pid_t seen = ::waitpid(pid, &status, __WALL | WNOHANG);
    if (seen == pid) return WIFSTOPPED(status) ? Stop::kStopped : Stop::kGone;
    if (seen < 0 && errno != EINTR) return Stop::kGone;
    if (std::chrono::steady_clock::now() > limit) return Stop::kLate;
    ::sched_yield();
  }
}

}  // namespace

// ---- One process -----------------------------------------------------------------------------------

Result<Tracee> Tracee::seize(pid_t pid) {
  if (::ptrace(PTRACE_SEIZE, pid, nullptr, nullptr) != 0) return system_error("ptrace", "PTRACE_SEIZE", errno);
  unique_fd memory(::open(fmt::format("/proc/{}/mem", pid).c_str(), O_RDONLY | O_CLOEXEC));
  Tracee tracee(pid, std::move(memory));
  int status = 0;
  if (::ptrace(PTRACE_INTERRUPT, pid, nullptr, nullptr) != 0 || wait_for_stop(pid, status) != Stop::kStopped) {
    tracee.pid_ = -1;
    return system_error("ptrace", "PTRACE_INTERRUPT", errno);
  }
  return tracee;
}

Tracee::Tracee(pid_t pid, unique_fd memory) : pid_(pid), memory_(std::move(memory)) {
  std::ifstream maps(fmt::format("/proc/{}/maps", pid));
  for (std::string line; std::getline(maps, line);) {
    if (!line.ends_with("[vdso]")) continue;
    std::size_t dash = 0;
    vdso_.first = std::stoull(line, &dash, 16);
    vdso_.second = std::stoull(line.substr(dash + 1), nullptr, 16);
  }
}

Tracee::~Tracee() {
  if (pid_ > 0) (void)::ptrace(PTRACE_DETACH, pid_, nullptr, nullptr);
}

bool Tracee::resume(int request) {
  int status = 0;
  for (long signal = 0;;) {
    const bool resumed = ::ptrace(static_cast<__ptrace_request>(request), pid_, nullptr, signal) == 0;
    const Stop stop = resumed ? wait_for_stop(pid_, status) : Stop::kGone;
    if (stop == Stop::kLate) return false;
    if (stop == Stop::kGone) {
      pid_ = -1;
      return false;
    }
    if (status >> 8 == SIGTRAP) return true;
    signal = status >> 16 == 0 ? WSTOPSIG(status) : 0;  // its own signals go on to it
  }
}

bool Tracee::step() {
  const std::uint64_t before = next();
  do {
    if (!resume(PTRACE_SINGLESTEP)) return false;
  } while (next() == before && repeats(before));
  if (!in_vdso(next()) || in_vdso(before)) return true;
  const std::uint64_t stack =
      peek_user(pid_, offsetof(user_regs_struct, rsp));  // a call has just put its return address there
  std::array<std::uint64_t, 1> caller{};
  return read(stack, std::as_writable_bytes(std::span(caller))) && run_to(caller);
}

bool Tracee::in_vdso(std::uint64_t address) const { return address >= vdso_.first && address < vdso_.second; }

// Whether the instruction there has a repeat prefix (REP STOSB): it traps after each repetition.
bool Tracee::repeats(std::uint64_t address) const {
  std::array<std::byte, 1> prefix{};
  return read(address, prefix) && (prefix[0] == std::byte{0xf2} || prefix[0] == std::byte{0xf3});
}

bool Tracee::run_to(std::span<const std::uint64_t> addresses) {
  std::deque<Breakpoint> breakpoints;  // in two of them that overlap, the first has what was there: it is put back last
  for (const std::uint64_t address : addresses) {
    if (!breakpoints.emplace_front(pid_, address).is_set()) return false;
  }
  if (!resume(PTRACE_CONT)) return false;
  const std::uint64_t trapped = next() - 1;  // behind the INT3
  return ::ptrace(PTRACE_POKEUSER, pid_, offsetof(user_regs_struct, rip), trapped) == 0;
}

std::uint64_t Tracee::next() const { return peek_user(pid_, offsetof(user_regs_struct, rip)); }

long Tracee::call_register() const { return static_cast<long>(peek_user(pid_, offsetof(user_regs_struct, rax))); }

std::optional<long> Tracee::next_call() const {
  std::array<std::byte, 2> instruction{};
  if (!read(next(), instruction) || instruction != kSyscallInstruction) return std::nullopt;
  return call_register();
}

bool Tracee::read(std::uint64_t address, std::span<std::byte> into) const {
  return ::pread(memory_.get(), into.data(), into.size(), static_cast<off_t>(address)) ==
         static_cast<ssize_t>(into.size());
}

void Tracee::kill() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  int status = 0;
  while (::waitpid(pid_, &status, __WALL) == pid_ ? WIFSTOPPED(status) : errno == EINTR) {
  }
  pid_ = -1;
}

// ---- Its way ---------------------------------------------------------------------------------------

void Path::index() {
  std::unordered_map<std::uint64_t, std::size_t> times;
  for (const std::uint64_t address : steps_) ++times[address];
  last_unique_.assign(steps_.size(), 0);
  for (std::size_t k = 1; k < steps_.size(); ++k) {
    last_unique_[k] = times[steps_[k]] == 1 && k > 1 ? k : last_unique_[k - 1];
  }
}

bool Path::follow(Tracee& tracee, std::size_t k) const {
  const std::uint64_t sleep = steps_.back();
  // elsewhere: its libraries are mapped at other addresses than those of the process that was recorded
  const bool same_addresses = tracee.next() == steps_.front();
  const auto about_to_sleep = [&] {
    return same_addresses ? tracee.next() == sleep && tracee.call_register() == sleeping_call_
                          : tracee.next_call() == sleeping_call_;
  };
  std::size_t done = 0;
  // the first step wakes it up: it leaves the system call that it sleeps in
  if (k > 0) {
    if (!tracee.step()) return false;
    done = 1;
  }
  if (same_addresses && last_unique_[k] > done) {
    const std::array<std::uint64_t, 2> stops{steps_[last_unique_[k]], sleep};
    if (!tracee.run_to(stops)) return false;
    done = last_unique_[k];
    if (tracee.next() != steps_[done]) return false;
  }
  for (; done < k; ++done) {
    if (about_to_sleep() || !tracee.step()) return false;
  }
  return true;
}

// ---- Circumstances ---------------------------------------------------------------------------------

SameAddresses::SameAddresses() : before_(::personality(0xffffffff)) {
  (void)::personality(static_cast<unsigned long>(before_) | ADDR_NO_RANDOMIZE);
}

SameAddresses::~SameAddresses() { (void)::personality(static_cast<unsigned long>(before_)); }

SameProcessor::SameProcessor() {
  (void)::sched_getaffinity(0, sizeof before_, &before_);
  while (processor_ + 1 < CPU_SETSIZE && !CPU_ISSET(processor_, &before_)) ++processor_;
  bring(0);
}

SameProcessor::~SameProcessor() { (void)::sched_setaffinity(0, sizeof before_, &before_); }

void SameProcessor::bring(pid_t pid) const {
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(processor_, &one);
  (void)::sched_setaffinity(pid, sizeof one, &one);
}

}  // namespace quern::test
