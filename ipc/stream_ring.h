// The stream ring: how the result of the running job reaches the supervisor while it is being made, for a
// client that asked for that.
//
// Bytes, from a single producer (the worker) to a single consumer (the supervisor). One ring a channel, as
// a worker runs one job at a time. Its words count all bytes since the channel began; byte n lies at
// n % kStreamBytes.
//
//     consumed                    produced
//        |  taken next ....... last  |  room
//     ---+---------------------------+-----------------> n
//        +-------- at most kStreamBytes -------+
//
//     job p begins: wait until consumed == produced, stream_position := p, then its bytes; so the ring never
//     holds the bytes of two jobs, and stream_position says whose they are.
//
// Accesses and their memory orders
//
//   put   W  bytes, stream_position       plain, relaxed   before the store of produced
//         W  stream_produced := n         seq_cst          release: pairs with the supervisor's load; seq_cst because
//                                                          the doorbell's sleeper check follows (doorbell.h)
//   look  S  stream_produced              acquire          pairs with it (seq_cst when about to sleep)
//         S  stream_position              relaxed          can't change while produced != consumed
//   pop   S  reads of the bytes           plain            before the store of consumed
//         S  stream_consumed := n         seq_cst          release: pairs with the worker's load, which then writes
//                                                          over them; seq_cst because the check for a waiter follows
//   room  W  stream_consumed              acquire          pairs with it
//
// A full ring: the worker waits (wait_for_stream_room in doorbell.h) until there is room or the job is asked
// to stop. How long is the client's doing: the supervisor takes bytes only while the client takes its answers.
//
// The last bytes: before the worker completes p it waits until no more of p is left in the ring than an output
// extent would hold, and what is left is handed up before the completion is. So a job with a small result does
// not wait for its reader, and many of them cost no more memory than results that are not streamed. Of a job that
// failed the rest may be dropped.
//
// What if the worker dies here
//   before the store of produced   the bytes are not there; nobody looks at them.
//   after it                       they may or may not be handed up: the job is not complete. Once some of its
//                                  bytes were handed up, it is not run again (Pool::try_again).
//   asleep for room                as anywhere else.
// What if the supervisor dies: the worker is killed (PR_SET_PDEATHSIG), asleep or not.
//
// What if the worker writes garbage: more produced than fits is found by look() and costs its life; a wrong
// position keeps its own bytes from being taken, until the job's run timeout; the bytes are its result, and as
// trustworthy as any.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <optional>

#include "ipc/bytes.h"
#include "ipc/channel.h"

namespace quern::ipc {

// Worker's side. One thread.
class StreamProducer {
 public:
  explicit StreamProducer(const Channel& channel) noexcept : channel_(&channel) {}

  [[nodiscard]] std::uint64_t consumed() const noexcept {
    return channel_->header().stream_consumed.load(std::memory_order_acquire);
  }
  [[nodiscard]] std::size_t room(std::uint64_t consumed) const noexcept {
    return kStreamBytes - static_cast<std::size_t>(produced_ - consumed);
  }

  // What is put from now on is of `position`. Requires: room(consumed()) == kStreamBytes.
  void begin(std::uint64_t position) noexcept {
    channel_->header().stream_position.store(position, std::memory_order_relaxed);
  }
  // Requires: at most room() bytes. Follow with ring_supervisor (doorbell.h).
  void put(ByteSpan bytes) noexcept {
    const auto at = static_cast<std::size_t>(produced_ % kStreamBytes);
    const std::size_t to_end = std::min(bytes.size(), kStreamBytes - at);
    std::memcpy(channel_->stream().data() + at, bytes.data(), to_end);
    std::memcpy(channel_->stream().data(), bytes.data() + to_end, bytes.size() - to_end);
    produced_ += bytes.size();
    channel_->header().stream_produced.store(produced_, std::memory_order_seq_cst);
  }

 private:
  const Channel* channel_;
  std::uint64_t produced_ = 0;
};

// Supervisor's side. One thread.
class StreamConsumer {
 public:
  explicit StreamConsumer(const Channel& channel) noexcept : channel_(&channel) {}

  // In two pieces, where it runs over the ring's end. Memory that a hostile worker may still write to.
  struct Bytes {
    ByteSpan first{};
    ByteSpan second{};
    [[nodiscard]] std::size_t size() const noexcept { return first.size() + second.size(); }
    [[nodiscard]] Bytes begin(std::size_t bytes) const noexcept {  // at most so many of them
      const std::size_t of_first = std::min(bytes, first.size());
      return {first.first(of_first), second.first(std::min(bytes - of_first, second.size()))};
    }
  };
  // What is there of `position`, or nothing: the worker lied.
  [[nodiscard]] std::optional<Bytes> look(std::uint64_t position) noexcept {
    seen_ = channel_->header().stream_produced.load(std::memory_order_acquire);
    const std::uint64_t bytes = seen_ - consumed_;
    if (bytes > kStreamBytes) return std::nullopt;
    if (bytes == 0 || channel_->header().stream_position.load(std::memory_order_relaxed) != position) return Bytes{};
    const auto at = static_cast<std::size_t>(consumed_ % kStreamBytes);
    const std::size_t to_end = std::min(static_cast<std::size_t>(bytes), kStreamBytes - at);
    const ByteSpan ring = channel_->stream();
    return Bytes{ring.subspan(at, to_end), ring.first(static_cast<std::size_t>(bytes) - to_end)};
  }
  // Gives back the room of the first `bytes` bytes of what look() returned. Follow with ring_stream (doorbell.h).
  void pop(std::size_t bytes) noexcept {
    consumed_ += bytes;
    channel_->header().stream_consumed.store(consumed_, std::memory_order_seq_cst);
  }
  // stream_produced when it was last looked at: what differs from it is news.
  [[nodiscard]] std::uint64_t seen() const noexcept { return seen_; }

 private:
  const Channel* channel_;
  std::uint64_t consumed_ = 0;
  std::uint64_t seen_ = 0;
};

}  // namespace quern::ipc
