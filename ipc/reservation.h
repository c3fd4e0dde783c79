// Reservations: how a running job says how much memory it is going to take, and waits until it may.
//
// The supervisor keeps the pool's budget, but never parses what would tell it a job's need: so the worker
// asks. Two words a channel, of one format, each written by one side:
//
//      63       48 47       32 31                    0
//     +-----------+-----------+-----------------------+
//     | number    | position  | pages of 4 KiB        |
//     +-----------+-----------+-----------------------+
//
//     memory_wanted    W  what the job at that position takes from now on, at most
//     memory_granted   S  the newest memory_wanted that it may take
//
// One word holds all that is said, so there is nothing to be read half; `number` grows with each, so that no answer is
// taken for that to another. `position` has the low bits of the job's: enough, as a channel has at most kSlotsMax of
// them at a time.
//
//                more than the share: wanted := w, ring                granted == w
//     Without --------------------------------------> Waiting ------------------------------> With
//        ^                                               |                                   |   ^ wanted := less;
//        |            cancel == position + 1             |                                   |   | does not wait
//        +<----------------------------------------------+                                   +---+
//        +<------------------- wanted := the share or less, or the job's end ----------------+
//
// A job has one request at a time, for it waits. What is on its way when the next one comes is only a decrease that the
// supervisor did not look at, and the next word says all that it said.
//
// The share: kMemoryShareBytes are each worker's own, counted in the budget for as long as it lives, and taken without
// a word. So what is small, a thumbnail or a health check, never stands in line behind a large job, and does not pay
// for two wake-ups (5 us on idle processes, bench_jobs; more where the supervisor is busy). A job that decodes more
// than 16 MiB of pixels takes tens of milliseconds and does not feel them. The share is no larger because it is taken
// out of the budget for workers that do nothing, too.
//
// What can't be granted ever is refused by the worker itself: memory_budget_bytes is the pool's, written before the
// worker is there, and does not change while it lives.
//
// Accesses and their memory orders
//
//   ask    W  memory_wanted := w         seq_cst   after complete() of the job before: release, so that who sees w also
//                                                  sees that job's completion; seq_cst because the doorbell's sleeper
//                                                  check follows (doorbell.h)
//   look   S  memory_wanted              acquire   before the completions are looked at: then either the job at
//                                                  `position` is the oldest that is not answered, or it is over.
//                                                  seq_cst when about to sleep
//   grant  S  memory_granted := w        seq_cst   the check for a waiter follows
//   wait   W  memory_granted, cancel     acquire   nothing else is published by it; seq_cst when about to sleep
//
// What if the worker dies here
//   before wanted := w         nobody knows of it.
//   between that and the ring  its death is the wake-up; nobody looks at the word any more.
//   waiting                    it leaves the line (Pool::requeue, Pool::settle), and the next one is first.
//   with                       what it had is given back once the process is gone, not when it is killed: then the
//                              memory is free.
// What if the supervisor dies: the worker is killed (PR_SET_PDEATHSIG), waiting or not.
//
// What if the worker writes garbage: a position that it has not begun, more than the budget, the share or less without
// having had more, or anything while it waits costs its life (Worker::take_reservation, Pool::on_memory_wanted). That
// it takes memory that it did not ask for can't be seen here: memory_bytes_max and its cgroup are for that.
#pragma once

#include <cstdint>

#include "ipc/channel.h"
#include "ipc/doorbell.h"

namespace quern::ipc {

inline constexpr std::uint64_t kMemoryShareBytes = 16U << 20;

struct MemoryWord {
  std::uint32_t pages = 0;
  std::uint16_t position = 0;
  std::uint16_t number = 0;

  [[nodiscard]] std::uint64_t packed() const noexcept {
    return std::uint64_t{number} << 48 | std::uint64_t{position} << 32 | pages;
  }
  [[nodiscard]] static MemoryWord unpacked(std::uint64_t word) noexcept {
    return {.pages = static_cast<std::uint32_t>(word),
            .position = static_cast<std::uint16_t>(word >> 32),
            .number = static_cast<std::uint16_t>(word >> 48)};
  }
  [[nodiscard]] std::uint64_t bytes() const noexcept { return std::uint64_t{pages} * kPageBytes; }
};

// Requires: at most 2^32 pages.
[[nodiscard]] inline std::uint32_t pages_of(std::uint64_t bytes) noexcept {
  return static_cast<std::uint32_t>((bytes + kPageBytes - 1) / kPageBytes);
}

// Worker's side. One thread.
class ReservationProducer {
 public:
  // `eventfd`: rings the supervisor.
  ReservationProducer(const Channel& channel, int eventfd) noexcept
      : header_(channel.header()), eventfd_(eventfd), budget_bytes_(header_.memory_budget_bytes) {}

  // Of the pool; 0: there is none, and nothing to ask.
  [[nodiscard]] std::uint64_t budget_bytes() const noexcept { return budget_bytes_; }

  // Returns the word to be granted, if somebody waits for that.
  std::uint64_t tell(std::uint64_t position, std::uint64_t bytes) noexcept {
    const MemoryWord word{
        .pages = pages_of(bytes), .position = static_cast<std::uint16_t>(position), .number = ++number_};
    header_.memory_wanted.store(word.packed(), std::memory_order_seq_cst);
    ring_supervisor(header_, eventfd_);
    return word.packed();
  }
  [[nodiscard]] bool granted(std::uint64_t word) const noexcept {
    return header_.memory_granted.load(std::memory_order_acquire) == word;
  }

 private:
  ChannelHeader& header_;
  int eventfd_;
  std::uint64_t budget_bytes_;
  std::uint16_t number_ = 0;
};

// Supervisor's side. One thread.
class ReservationConsumer {
 public:
  explicit ReservationConsumer(const Channel& channel) noexcept : header_(&channel.header()) {}

  // Before the completions are looked at.
  [[nodiscard]] std::uint64_t look() const noexcept { return header_->memory_wanted.load(std::memory_order_acquire); }
  // `word` is no news any more.
  void note(std::uint64_t word) noexcept { seen_ = word; }
  [[nodiscard]] std::uint64_t seen() const noexcept { return seen_; }
  // What was noted last.
  void grant() noexcept {
    header_->memory_granted.store(seen_, std::memory_order_seq_cst);
    ring_memory(*header_);
  }

 private:
  ChannelHeader* header_;
  std::uint64_t seen_ = 0;
};

}  // namespace quern::ipc
