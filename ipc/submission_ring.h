// The submission ring: how a job's descriptor goes from the supervisor to one worker, and who owns it.
//
// Single producer (the supervisor), single consumer (the worker). The producer's position and the
// consumer's position are private to each; shared are the tail and one word per descriptor.
//
//            publish                      claim (worker's CAS)
//     Free ------------> Ready(p) ---------------------------> Taken(p)
//      ^                    |                                     |
//      |                    | revoke (supervisor's CAS)           | completion p published
//      |                    v                                     v
//      |                 Revoked(p) --worker passes over it--> completion p (kSkipped)
//      |                                                          |
//      +------------ supervisor consumed completion p ------------+
//
// The word is position << 2 | state. Because it names the position, a CAS can't succeed on the slot's
// previous or next life. Exactly one of the two CASes succeeds: that one decides whether the job runs
// here, and no other write to the word happens between publish and completion.
//
// Accesses and their memory orders
//
//   publish  S  descriptor fields, input extent   plain      before the tail store below
//            S  word := Ready(p)                  relaxed    ordered by the tail store
//            S  tail := p + 1                     seq_cst    release: pairs with the worker's tail load, so that
//                                                            fields and word are visible; seq_cst, not just
//                                                            release, because the doorbell's sleeper check
//                                                            follows (doorbell.h has that argument)
//   claim    W  tail                              acquire    pairs with the tail store (seq_cst when about to sleep)
//            W  word: Ready(p) -> Taken(p)        acq_rel    ownership only; the data came with the tail. acq_rel
//                                                            costs nothing on x86 and keeps the word's history in
//                                                            step with the other side's for a reader after a death
//   revoke   S  word: Ready(p) -> Revoked(p)      acq_rel    likewise. The job's bytes are in the supervisor's own
//                                                            record, so it may run elsewhere at once
//   after a death
//            S  word                              acquire    the worker is reaped (waitid), nothing races
//
// What if the worker dies here (SIGKILL between any two instructions)
//
//   before its CAS                 word is Ready: the job never began. It goes back to the head of the queue and
//                                  no attempt is counted.
//   after its CAS, before          word is Taken and no completion: the attempt is counted with the cause of
//   completion p is published      death; retried or failed.
//   after completion p             the completion ring's rules: what is published is complete.
//   passing over Revoked           nobody waits for it: the job left this channel when it was revoked.
//
// What if the supervisor dies: the worker is killed with it, and the memory goes away.
//
// What if the worker writes garbage: into `word`: the supervisor's revoke fails and the job is taken to
// be running here, and its timeout ends it by killing the worker. Into tail, fields or extents: the
// supervisor never reads them back. A worker can so harm only the jobs it was given.
#pragma once

#include <cstdint>
#include <optional>

#include "ipc/channel.h"

namespace quern::ipc {

enum class SlotState : std::uint64_t { kFree = 0, kReady = 1, kTaken = 2, kRevoked = 3 };

[[nodiscard]] constexpr std::uint64_t slot_word(std::uint64_t position, SlotState state) noexcept {
  return position << 2 | static_cast<std::uint64_t>(state);
}

// What the supervisor says of a job besides its input extent; see Descriptor.
struct Submission {
  std::uint64_t job_id = 0;
  std::uint64_t result_bytes_max = 0;
  std::uint32_t kind = 0;
  std::uint32_t attempt = 1;
  std::uint32_t body_bytes = 0;
  std::uint16_t fd_count = 0;
  bool body_in_fd = false;
  std::uint8_t shared_buffers = 0;
  bool output_file = false;
  bool stream = false;
};

// Supervisor's side. One thread.
class SubmissionProducer {
 public:
  explicit SubmissionProducer(const Channel& channel) noexcept : channel_(&channel) {}

  // The position that the next publish will use; fill channel.input(next()) first.
  [[nodiscard]] std::uint64_t next() const noexcept { return next_; }

  // Requires: position next() - slots has been completed and consumed (the caller counts). Follow with
  // ring_worker (doorbell.h).
  void publish(const Submission& submission) noexcept {
    Descriptor& descriptor = channel_->descriptor(next_);
    descriptor.job_id = submission.job_id;
    descriptor.result_bytes_max = submission.result_bytes_max;
    descriptor.kind = submission.kind;
    descriptor.attempt = submission.attempt;
    descriptor.body_bytes = submission.body_bytes;
    descriptor.fd_count = submission.fd_count;
    descriptor.body_in_fd = submission.body_in_fd ? 1 : 0;
    descriptor.shared_buffers = submission.shared_buffers;
    descriptor.output_file = submission.output_file ? 1 : 0;
    descriptor.stream = submission.stream ? 1 : 0;
    descriptor.word.store(slot_word(next_, SlotState::kReady), std::memory_order_relaxed);
    ++next_;
    channel_->header().submission_tail.store(next_, std::memory_order_seq_cst);
  }

  // True: the worker will never run `position`. False: it took it (or scribbled), and a completion or
  // a death will tell the rest.
  [[nodiscard]] bool revoke(std::uint64_t position) noexcept {
    auto expected = slot_word(position, SlotState::kReady);
    return channel_->descriptor(position).word.compare_exchange_strong(
        expected, slot_word(position, SlotState::kRevoked), std::memory_order_acq_rel, std::memory_order_acquire);
  }

  // Whether the worker has begun `position`. A scribbled word counts as begun.
  [[nodiscard]] bool begun(std::uint64_t position) const noexcept {
    return channel_->descriptor(position).word.load(std::memory_order_acquire) !=
           slot_word(position, SlotState::kReady);
  }

 private:
  const Channel* channel_;
  std::uint64_t next_ = 0;
};

// Worker's side. One thread.
class SubmissionConsumer {
 public:
  explicit SubmissionConsumer(const Channel& channel) noexcept : channel_(&channel) {}

  // A descriptor the worker has to answer: its own to run, or revoked and only to be passed over.
  struct Claim {
    std::uint64_t position = 0;
    bool revoked = false;
    Submission submission{};
  };

  // The position of the next claim.
  [[nodiscard]] std::uint64_t position() const noexcept { return head_; }
  [[nodiscard]] bool empty() const noexcept {
    return channel_->header().submission_tail.load(std::memory_order_acquire) == head_;
  }

  // The next descriptor, or nothing when the ring is empty. Each claim must be followed by exactly one
  // completion of the same position.
  [[nodiscard]] std::optional<Claim> claim() noexcept {
    if (empty()) return std::nullopt;
    Descriptor& descriptor = channel_->descriptor(head_);
    Claim claim{.position = head_};
    ++head_;
    auto expected = slot_word(claim.position, SlotState::kReady);
    if (!descriptor.word.compare_exchange_strong(expected, slot_word(claim.position, SlotState::kTaken),
                                                 std::memory_order_acq_rel, std::memory_order_acquire)) {
      claim.revoked = true;
      return claim;
    }
    claim.submission = Submission{.job_id = descriptor.job_id,
                                  .result_bytes_max = descriptor.result_bytes_max,
                                  .kind = descriptor.kind,
                                  .attempt = descriptor.attempt,
                                  .body_bytes = descriptor.body_bytes,
                                  .fd_count = descriptor.fd_count,
                                  .body_in_fd = descriptor.body_in_fd != 0,
                                  .shared_buffers = descriptor.shared_buffers,
                                  .output_file = descriptor.output_file != 0,
                                  .stream = descriptor.stream != 0};
    return claim;
  }

  // A revoked descriptor may have been preceded by a kJobFds message that must be drained and dropped.
  // Those fields stay valid: the slot is not reused before its completion is consumed.
  [[nodiscard]] std::uint16_t fd_count(std::uint64_t position) const noexcept {
    return channel_->descriptor(position).fd_count;
  }

 private:
  const Channel* channel_;
  std::uint64_t head_ = 0;
};

}  // namespace quern::ipc
