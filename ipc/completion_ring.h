// The completion ring: how an answer goes from one worker back to the supervisor.
//
// Single producer (the worker), single consumer (the supervisor). Completion p answers descriptor p,
// in order and exactly once; the ring can't overflow because the supervisor never has more than
// `slots` positions published and not yet consumed.
//
//     output extent, ResultPart table, Completion fields (worker)
//                    |
//                    v
//     completion_tail := p + 1   ==>   "p is complete"   ==>   supervisor copies, checks, answers
//
// Accesses and their memory orders
//
//   complete W  output extent, ResultPart, Completion   plain     before the tail store below
//            W  completion_tail := p + 1                seq_cst   release: pairs with the supervisor's load; seq_cst
//                                                                 because the doorbell's sleeper check follows
//   consume  S  completion_tail                         acquire   pairs with it (seq_cst when about to sleep)
//            S  Completion, ResultPart                  relaxed   each word read once into private memory, then
//                                                                 checked there: a hostile worker may still write
//
// What if the worker dies here
//
//   before the tail store   position p is not complete, whatever its fields say: nobody looks at them.
//   after the tail store,   p is complete. The supervisor notices the death (pidfd), drains the ring once
//   before the wake-up      more, and answers p from it before it looks at what was still running.
//
// What if the worker writes garbage: tail beyond what was published, a position that is not p, an
// unknown outcome, parts outside the extent, a count of descriptors that did not come: each is found
// by consume() or by the caller's checks, and costs that worker its life (kChannelCorrupt).
#pragma once

#include <array>
#include <bit>
#include <cstdint>

#include "ipc/channel.h"

namespace quern::ipc {

// Copies a POD of whole 64-bit words out of memory that another process may be writing: each word is
// loaded exactly once.
template <class T>
[[nodiscard]] T read_once(const T& shared) noexcept {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) % sizeof(std::uint64_t) == 0);
  std::array<std::uint64_t, sizeof(T) / sizeof(std::uint64_t)> words;
  const auto* from = reinterpret_cast<const std::uint64_t*>(&shared);
  for (std::size_t i = 0; i < words.size(); ++i) words[i] = __atomic_load_n(from + i, __ATOMIC_RELAXED);
  return std::bit_cast<T>(words);
}

// Worker's side. One thread.
class CompletionProducer {
 public:
  explicit CompletionProducer(const Channel& channel) noexcept : channel_(&channel) {}

  // Requires: positions are completed in order, each once. Follow with ring_supervisor (doorbell.h).
  void complete(const Completion& completion) noexcept {
    channel_->completion(completion.position) = completion;
    channel_->header().completion_tail.store(completion.position + 1, std::memory_order_seq_cst);
  }

 private:
  const Channel* channel_;
};

// Supervisor's side. One thread.
class CompletionConsumer {
 public:
  explicit CompletionConsumer(const Channel& channel) noexcept : channel_(&channel) {}

  // Positions consumed so far.
  [[nodiscard]] std::uint64_t consumed() const noexcept { return consumed_; }

  enum class Look { kEmpty, kOne, kCorrupt };

  // `published`: how many positions the supervisor has published. On kOne, `completion` is a private
  // copy with position, outcome, parts and error_bytes in range; read what it refers to, then pop().
  [[nodiscard]] Look look(std::uint64_t published, Completion& completion) const noexcept {
    const auto tail = channel_->header().completion_tail.load(std::memory_order_acquire);
    if (tail == consumed_) return Look::kEmpty;
    if (tail < consumed_ || tail > published) return Look::kCorrupt;
    completion = read_once(channel_->completion(consumed_));
    const bool in_range = completion.position == consumed_ &&
                          completion.outcome <= static_cast<std::uint32_t>(Outcome::kError) &&
                          completion.parts <= kResultPartsMax && completion.fd_count <= kResultPartsMax &&
                          completion.error_bytes <= channel_->geometry().output_extent_bytes;
    return in_range ? Look::kOne : Look::kCorrupt;
  }
  void pop() noexcept { ++consumed_; }

  // Whether `position`, which was published, is complete, by the worker's word and whether it is consumed or not. The
  // same answer as look() gives, before anybody has taken those ahead of it.
  [[nodiscard]] bool completed(std::uint64_t position) const noexcept {
    return channel_->header().completion_tail.load(std::memory_order_acquire) > position;
  }

 private:
  const Channel* channel_;
  std::uint64_t consumed_ = 0;
};

}  // namespace quern::ipc
