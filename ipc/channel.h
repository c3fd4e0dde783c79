// The channel: one sealed, fully allocated memfd that one supervisor and one worker incarnation share.
//
//     0            4096                                                             (page-aligned)
//     +------------+---------------+---------------+----------------+---------------+----------------+--------+
//     | header     | Descriptor    | Completion    | ResultPart     | input extents | output extents | stream |
//     | ids, rings'| [slots]       | [slots]       | [slots][64]    | [slots]       | [slots]        | ring   |
//     | words      | 64 B each     | 64 B each     | 64 B each      |               |                |        |
//     +------------+---------------+---------------+----------------+---------------+----------------+--------+
//
// Job number p of this channel (its *position*, counted from 0) uses slot p % slots of every array,
// so there is no allocator in shared memory and nothing in it to repair. The supervisor publishes
// positions in order, the worker handles them in order, and completion p answers descriptor p. A slot
// is used again only after the supervisor has consumed its completion.
//
// Offsets and sizes come from the Geometry, which the supervisor chooses and the worker learns from
// the header; no pointer is ever stored. The supervisor keeps its own Geometry and never reads one
// back: what the worker writes here can't move what the supervisor looks at.
//
// Who writes what (every other access is a read):
//
//     supervisor: header ids, submission_tail, Descriptor fields, input extents, cancel, lifecycle,
//                 worker_sleeping -> 0, supervisor_sleeping -> 1, Descriptor.word (Ready, Revoked),
//                 stream_consumed, stream_waiting -> 0, memory_granted, memory_waiting -> 0
//     worker:     completion_tail, Completion, ResultPart, output extents, progress*, stack* (from
//                 its signal handler, worker/stack_probe.h), allocation_failed (likewise, worker/memory_note.h),
//                 worker_sleeping -> 1, supervisor_sleeping -> 0, Descriptor.word (Taken), stream ring,
//                 stream_produced, stream_position, stream_waiting -> 1, memory_wanted, memory_waiting -> 1
//
// The wiped memory of a sensitive job is the one exception: after the completion is consumed the slot is the
// supervisor's, and it zeroes both extents; and what it has taken from the stream ring, before it gives it back.
//
// When the worker dies the supervisor drains what was published as complete, and throws the whole
// channel away. When the supervisor dies the worker is killed by the kernel (PR_SET_PDEATHSIG) and the
// memory goes with the last mapping: there is no name in any file system.
//
// The submission side is argued in submission_ring.h, the completion side in completion_ring.h, results
// that are handed on while they are made in stream_ring.h, what a job says of the memory it takes in reservation.h, the
// sleeping and waking in doorbell.h.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "common/error.h"
#include "common/unique_fd.h"
#include "ipc/memfd.h"

namespace quern::ipc {

inline constexpr std::uint64_t kChannelMagic = 0x314e52'45555121;  // "!QUERN1" as little-endian text
inline constexpr std::uint32_t kChannelLayoutVersion = 6;
inline constexpr std::size_t kCacheLineBytes = 64;
inline constexpr std::size_t kPageBytes = 4096;
inline constexpr std::uint32_t kSlotsMax = 1024;
inline constexpr std::uint32_t kExtentBytesMax = 16U << 20;
inline constexpr std::size_t kResultPartsMax = 64;
inline constexpr std::size_t kResultPartNameBytesMax = 47;
inline constexpr std::size_t kStackFramesMax = 64;
inline constexpr std::size_t kStreamBytes = 256U << 10;
inline constexpr std::size_t kProgressMessageBytesMax = 64;

// How many jobs a channel holds, and how many bytes of each fit in its arena. The supervisor's choice.
struct Geometry {
  std::uint32_t slots = 32;                      // a power of two, 1..kSlotsMax
  std::uint32_t input_extent_bytes = 64U << 10;  // multiples of a page, up to kExtentBytesMax
  std::uint32_t output_extent_bytes = 64U << 10;
  friend bool operator==(const Geometry&, const Geometry&) = default;

  [[nodiscard]] bool valid() const noexcept;
  [[nodiscard]] std::uint64_t descriptors_offset() const noexcept { return kPageBytes; }
  [[nodiscard]] std::uint64_t completions_offset() const noexcept;
  [[nodiscard]] std::uint64_t result_parts_offset() const noexcept;
  [[nodiscard]] std::uint64_t inputs_offset() const noexcept;
  [[nodiscard]] std::uint64_t outputs_offset() const noexcept;
  [[nodiscard]] std::uint64_t stream_offset() const noexcept;
  [[nodiscard]] std::uint64_t total_bytes() const noexcept;
};

// What the worker should do with its life; a word the supervisor writes.
enum class Lifecycle : std::uint32_t {
  kRun = 0,
  kRetire = 1,  // finish what is published, then exit 0
};

struct alignas(kPageBytes) ChannelHeader {
  // Written once by the supervisor before the worker exists.
  std::uint64_t magic;
  std::uint32_t layout_version;
  std::uint32_t slots;
  std::uint32_t input_extent_bytes;
  std::uint32_t output_extent_bytes;
  std::uint64_t incarnation;
  std::uint64_t memory_budget_bytes;  // of the pool, see reservation.h; 0: none

  alignas(kCacheLineBytes) std::atomic<std::uint64_t> submission_tail;      // positions published so far
  alignas(kCacheLineBytes) std::atomic<std::uint64_t> completion_tail;      // positions answered so far
  alignas(kCacheLineBytes) std::atomic<std::uint32_t> worker_sleeping;      // futex word, see doorbell.h
  alignas(kCacheLineBytes) std::atomic<std::uint32_t> supervisor_sleeping;  // see doorbell.h
  alignas(kCacheLineBytes) std::atomic<std::uint32_t> lifecycle;            // Lifecycle
  std::atomic<std::uint64_t> cancel;                                        // 1 + the position asked to stop; 0: none
  alignas(kCacheLineBytes) std::atomic<std::uint32_t> progress_version;     // odd while being written (a seqlock)
  std::atomic<std::uint64_t> progress_position;
  std::atomic<std::uint64_t> progress_done;
  std::atomic<std::uint64_t> progress_total;
  std::atomic<std::uint64_t> progress_message_bytes;  // <= kProgressMessageBytesMax
  std::array<std::atomic<std::uint64_t>, kProgressMessageBytesMax / 8> progress_message;
  alignas(kCacheLineBytes) std::atomic<std::uint32_t> stack_version;  // odd while being written (a seqlock)
  std::atomic<std::uint32_t> stack_depth;                             // <= kStackFramesMax
  std::atomic<std::uint64_t> stack_position;                          // of the job whose stack it is
  std::array<std::atomic<std::uint64_t>, kStackFramesMax> stack;  // innermost first: where it is, then return addresses
  std::atomic<std::uint32_t> allocation_failed;                   // 1: the worker dies after an allocation had failed
  // see stream_ring.h
  alignas(kCacheLineBytes) std::atomic<std::uint64_t> stream_produced;  // bytes put so far
  std::atomic<std::uint64_t> stream_position;                           // of the job whose bytes they are
  alignas(kCacheLineBytes) std::atomic<std::uint64_t> stream_consumed;  // bytes taken so far
  std::atomic<std::uint32_t> stream_waiting;                            // futex word: the worker waits for room
  // see reservation.h
  alignas(kCacheLineBytes) std::atomic<std::uint64_t> memory_wanted;
  alignas(kCacheLineBytes) std::atomic<std::uint64_t> memory_granted;
  std::atomic<std::uint32_t> memory_waiting;  // futex word: the worker waits to be granted
};

struct alignas(kCacheLineBytes) Descriptor {
  std::atomic<std::uint64_t> word;  // position << 2 | SlotState, see submission_ring.h
  std::uint64_t job_id;
  std::uint64_t result_bytes_max;  // of all result parts together
  std::uint32_t kind;              // index in the template's list of kinds
  std::uint32_t attempt;           // 1, 2, ...
  std::uint32_t body_bytes;        // of the wire job body (wire.h), in the input extent or in descriptor 0
  std::uint16_t fd_count;          // descriptors that come as one kJobFds control message before this
  std::uint8_t body_in_fd;         // 1: the first of them holds the job body
  std::uint8_t shared_buffers;     // how many of them, behind those of the job's parts, are shared buffers
  std::uint8_t output_file;        // 1: the last of them is the file for the result's first part
  std::uint8_t stream;             // 1: the result's first part goes through the stream ring
  std::uint8_t reserved[18];
};

enum class Outcome : std::uint32_t {
  kSkipped = 0,  // the worker found the descriptor revoked and passed over it
  kResult = 1,   // ResultPart[0..parts) describe the result
  kError = 2,    // the output extent begins with a wire error body of error_bytes
};

struct alignas(kCacheLineBytes) Completion {
  std::uint64_t position;
  std::uint32_t outcome;   // Outcome
  std::uint32_t parts;     // <= kResultPartsMax
  std::uint32_t fd_count;  // descriptors that went ahead as kResultFds control messages
  std::uint32_t error_bytes;
  std::uint64_t run_ns;  // time in the job module
  std::uint64_t reserved[4];
};

struct ResultPart {
  std::uint64_t bytes;
  std::uint32_t offset;  // in the output extent; unused for parts in a descriptor
  std::uint8_t place;    // wire::Place; the n-th that is kFd is the n-th descriptor
  std::uint8_t name_bytes;
  char name[kResultPartNameBytesMax + 3];
};

static_assert(sizeof(ChannelHeader) == kPageBytes);
static_assert(sizeof(Descriptor) == kCacheLineBytes);
static_assert(sizeof(Completion) == kCacheLineBytes);
static_assert(sizeof(ResultPart) == kCacheLineBytes);
static_assert(std::atomic<std::uint64_t>::is_always_lock_free && std::atomic<std::uint32_t>::is_always_lock_free);
static_assert(offsetof(ChannelHeader, submission_tail) % kCacheLineBytes == 0);

// A mapped channel. Movable; unmapped on destruction. Not thread-safe beyond what the rings say.
class Channel {
 public:
  Channel() = default;

  // Supervisor: a new channel and the descriptor to pass to its worker (also kept by the caller only
  // as long as it needs to send it).
  struct Created;
  [[nodiscard]] static Result<Created> create(const Geometry& geometry, std::uint64_t incarnation);
  // Worker: maps what the supervisor passed; the header is checked against the descriptor's size.
  [[nodiscard]] static Result<Channel> open(int fd);

  [[nodiscard]] const Geometry& geometry() const noexcept { return geometry_; }
  [[nodiscard]] ChannelHeader& header() const noexcept { return *reinterpret_cast<ChannelHeader*>(mapping_.data()); }
  [[nodiscard]] std::uint32_t slot(std::uint64_t position) const noexcept {
    return static_cast<std::uint32_t>(position) & (geometry_.slots - 1);
  }
  [[nodiscard]] Descriptor& descriptor(std::uint64_t position) const noexcept;
  [[nodiscard]] Completion& completion(std::uint64_t position) const noexcept;
  [[nodiscard]] std::span<ResultPart, kResultPartsMax> result_parts(std::uint64_t position) const noexcept;
  [[nodiscard]] std::span<std::byte> input(std::uint64_t position) const noexcept;
  [[nodiscard]] std::span<std::byte> output(std::uint64_t position) const noexcept;
  [[nodiscard]] std::span<std::byte> stream() const noexcept;

 private:
  Channel(Mapping mapping, const Geometry& geometry) noexcept : mapping_(std::move(mapping)), geometry_(geometry) {}

  Mapping mapping_;
  Geometry geometry_;
};

struct Channel::Created {
  Channel channel;
  unique_fd fd;
};

// Progress as the worker last stored it for `position`; false when it is not about that position, or
// was being written each time it was looked at (a dead or hostile writer can't hold the reader).
struct ProgressView {
  std::uint64_t done = 0;
  std::uint64_t total = 0;
  std::uint32_t message_bytes = 0;
  alignas(std::uint64_t) std::array<char, kProgressMessageBytesMax> message{};  // any bytes, when a worker says so
  [[nodiscard]] std::string_view message_text() const noexcept { return {message.data(), message_bytes}; }
};
void store_progress(ChannelHeader& header, std::uint64_t position, const ProgressView& progress) noexcept;
[[nodiscard]] bool load_progress(const ChannelHeader& header, std::uint64_t position, ProgressView& progress) noexcept;

// The running job's stack, likewise. store_stack is called in a signal handler: it makes no call and
// allocates nothing. What is over kStackFramesMax is left out.
//
// Its last store is seq_cst, as are the supervisor's loads of stack_version and both sides' accesses of
// supervisor_sleeping: either the handler sees that the supervisor is about to sleep and rings, or the
// supervisor sees the stack (the argument of doorbell.h).
struct StackView {
  std::uint32_t depth = 0;
  std::array<std::uint64_t, kStackFramesMax> addresses{};
};
void store_stack(ChannelHeader& header, std::uint64_t position, std::span<void* const> frames) noexcept;
[[nodiscard]] bool load_stack(const ChannelHeader& header, std::uint64_t position, StackView& stack) noexcept;

}  // namespace quern::ipc
