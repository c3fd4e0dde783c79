// Tracee: another process, stopped, gone through instruction by instruction, and killed where it stands.
//
// Made for x86-64. The tracer is the thread that seized; it must make every call. A tracee that dies
// stays a zombie to its parent until its tracer has seen the end: kill() and step() see to that.
#pragma once

#include <sched.h>
#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "common/error.h"
#include "common/unique_fd.h"

namespace quern::test {

class Tracee {
 public:
  // Stops `pid`, wherever it is. An Error means that tracing is not allowed here.
  [[nodiscard]] static Result<Tracee> seize(pid_t pid);
  Tracee(Tracee&& other) noexcept
      : pid_(std::exchange(other.pid_, -1)), memory_(std::move(other.memory_)), vdso_(other.vdso_) {}
  Tracee(const Tracee&) = delete;
  Tracee& operator=(const Tracee&) = delete;
  // Lets it run on, untraced, unless it is gone.
  ~Tracee();

  // Each returns false when the process is gone, or has run on: some hypervisors lose a step's trap once in a million.
  // Then nothing but kill() can be done with it.
  // One instruction, with all its repetitions; or all those of a function of the vDSO, whose loop over the clock's page
  // goes round more often the slower it is stepped. One that sleeps in a system call takes as long as the sleep.
  [[nodiscard]] bool step();
  // Runs until the next instruction is at one of at most four addresses.
  [[nodiscard]] bool run_to(std::span<const std::uint64_t> addresses);

  // Address of the next instruction.
  [[nodiscard]] std::uint64_t next() const;
  // The system call that the next instruction makes; nothing when it makes none.
  [[nodiscard]] std::optional<long> next_call() const;
  // The register that holds the number of a system call about to be made.
  [[nodiscard]] long call_register() const;

  // Copies from the process's memory; false when there is none.
  [[nodiscard]] bool read(std::uint64_t address, std::span<std::byte> into) const;

  void kill();
  [[nodiscard]] pid_t pid() const noexcept { return pid_; }

 private:
  Tracee(pid_t pid, unique_fd memory);
  [[nodiscard]] bool resume(int request);
  [[nodiscard]] bool repeats(std::uint64_t address) const;
  [[nodiscard]] bool in_vdso(std::uint64_t address) const;

  pid_t pid_;
  unique_fd memory_;
  std::pair<std::uint64_t, std::uint64_t> vdso_;  // first address, and the one behind its last
};

// Where a process went, from one sleep to the next.
class Path {
 public:
  // Steps `tracee`, which sleeps in a system call, until the next instruction makes `sleeping_call`
  // again, and notes each instruction. `visit(k)` is called after k steps, k = 1, 2, ... Nothing: a step returned
  // false.
  template <class Visit>
  [[nodiscard]] static std::optional<Path> record(Tracee& tracee, long sleeping_call, Visit visit) {
    Path path;
    path.sleeping_call_ = sleeping_call;
    path.steps_.push_back(tracee.next());
    do {
      if (!tracee.step()) return std::nullopt;
      path.steps_.push_back(tracee.next());
      visit(path.steps_.size() - 1);
    } while (tracee.next_call() != sleeping_call);
    path.index();
    return path;
  }

  // Instructions from waking up to the last one before sleeping again.
  [[nodiscard]] std::size_t size() const noexcept { return steps_.size() - 1; }

  // Brings a `tracee` that sleeps at the path's beginning to where it was after `k` steps, at a run as far
  // as an instruction that the path passes only once is on the way, and then step by step. False: it
  // took another way, and is about to sleep again or gone.
  [[nodiscard]] bool follow(Tracee& tracee, std::size_t k) const;

 private:
  void index();

  long sleeping_call_ = 0;
  std::vector<std::uint64_t> steps_;      // [k]: the next instruction's address after k steps
  std::vector<std::size_t> last_unique_;  // [k]: the last step up to k whose address occurs once; 0: none
};

// While it lives, what the calling thread executes has its code and data at the same addresses each time,
// where that is allowed: what Path::follow needs to run instead of stepping.
class SameAddresses {
 public:
  SameAddresses();
  SameAddresses(const SameAddresses&) = delete;
  SameAddresses& operator=(const SameAddresses&) = delete;
  ~SameAddresses();

 private:
  int before_;
};

// Puts the calling thread and the process on one processor for as long as it lives: a step is a switch
// between the two, and ten times slower across processors.
class SameProcessor {
 public:
  SameProcessor();
  SameProcessor(const SameProcessor&) = delete;
  SameProcessor& operator=(const SameProcessor&) = delete;
  ~SameProcessor();
  void bring(pid_t pid) const;

 private:
  cpu_set_t before_{};
  std::size_t processor_ = 0;
};

}  // namespace quern::test
