// The wire protocol: what client and supervisor say to each other over quern.sock and admin.sock.
//
// A connection is a SOCK_STREAM Unix socket carrying frames. A frame is a 16-byte header and a body:
//
//     0        4      5       6          8               16
//     +--------+------+-------+----------+---------------+----------------------+
//     | body   | type | flags | fd_count | request_id    | body ...             |
//     | u32    | u8   | u8    | u16      | u64           | body_bytes bytes     |
//     +--------+------+-------+----------+---------------+----------------------+
//
// All integers are little-endian. `fd_count` descriptors travel as SCM_RIGHTS with the frame's first
// byte. Request ids are the client's; answers carry the id they answer and come in any order. A frame
// of an unknown type, an over-long or a malformed one is a protocol error: the server says GOING_AWAY
// with the reason and closes. docs/protocol.md is the text for people who write clients; this header
// is the one for code, and both sides use only this encoder and this decoder.
//
// Options are tagged fields {u16 tag, u32 bytes, value}. An unknown tag is skipped unless its top bit
// (kCriticalTag) is set, in which case the request is refused: so fields can be added later.
//
// Thread-safety: free functions and value types, no shared state. Nothing here blocks or makes system calls.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/error.h"
#include "common/retry.h"
#include "ipc/bytes.h"

namespace quern::wire {

using ipc::ByteReader;
using ipc::ByteSpan;
using ipc::ByteWriter;
using Buffer = std::vector<std::byte>;

inline constexpr std::uint32_t kMagic = 0x4e525551;  // "QURN"
inline constexpr std::uint16_t kVersion = 1;
inline constexpr std::size_t kHeaderBytes = 16;
inline constexpr std::uint32_t kHandshakeBodyBytesMax = 1024;  // before WELCOME, no frame is larger
inline constexpr std::uint16_t kFrameFdsMax = 64;              // the kernel's own bound is 253 (SCM_MAX_FD)
inline constexpr std::uint16_t kPartsMax = 1024;
inline constexpr std::size_t kPartNameBytesMax = 47;
inline constexpr std::size_t kKindBytesMax = 63;
inline constexpr std::size_t kFieldBytesMax = 255;
inline constexpr std::size_t kMessageBytesMax = 4096;
inline constexpr std::size_t kProgressMessageBytesMax = 64;
inline constexpr std::size_t kPingBytesMax = 64;
inline constexpr std::size_t kSharedBuffersMax = 16;  // of a job
inline constexpr std::size_t kBufferNameBytesMax = 63;
inline constexpr std::uint32_t kSubmitOptionsBytesMax = 32U << 10;  // so that a SUBMIT's head is bounded
inline constexpr std::uint8_t kPriorityMax = 9;                     // 9 runs first
inline constexpr std::uint8_t kPriorityDefault = 5;

enum class FrameType : std::uint8_t {
  kHello = 1,      // C->S, first frame of a connection
  kWelcome = 2,    // S->C, its answer
  kSubmit = 3,     // C->S, a job
  kResult = 4,     // S->C, its answer when it succeeded
  kError = 5,      // S->C, its answer when it failed (or any other request's)
  kCancel = 6,     // C->S, of the job with this request id; its answer is the job's answer
  kProgress = 7,   // S->C, for jobs submitted with kWantProgress
  kGoingAway = 8,  // S->C, request_id 0: an error body; no new jobs are taken
  kPing = 9,       // C->S, body of up to 64 bytes
  kPong = 10,      // S->C, the same body
  kKinds = 11,     // C->S, empty body: describe all kinds
  kText = 12,      // S->C, UTF-8 JSON: the answer to kKinds and kAdmin
  kAdmin = 13,     // C->S, on admin.sock only
  kBuffer = 14,    // C->S, create, attach or release a shared buffer
  kAttached = 15,  // S->C, the answer to kBuffer
  kChunk = 16,     // S->C, for jobs submitted with kSubmitStream: the next bytes of the result's first part
};

struct FrameHeader {
  std::uint32_t body_bytes = 0;
  FrameType type{};
  std::uint8_t flags = 0;
  std::uint16_t fd_count = 0;
  std::uint64_t request_id = 0;
};

// `bytes` holds at least kHeaderBytes. Any value of the fields comes back as it stands: the caller
// checks type, length and fd_count against what it accepts.
[[nodiscard]] FrameHeader decode_header(ByteSpan bytes) noexcept;
void encode_header(ByteWriter& out, const FrameHeader& header);

// Starts a frame in `out`, and patches its length when finished. Bodies are written in between.
class FrameBuilder {
 public:
  FrameBuilder(Buffer& out, FrameType type, std::uint64_t request_id, std::uint16_t fd_count = 0);
  [[nodiscard]] ByteWriter& body() noexcept { return writer_; }
  // `more_bytes`: body bytes that follow by another way (sendfile).
  void finish(std::uint64_t more_bytes = 0);

 private:
  ByteWriter writer_;
  std::size_t start_;
};

// ---- Handshake ---------------------------------------------------------------------------------

inline constexpr std::uint32_t kFeatureAcceptsFds = 1;  // results may come as descriptors

struct Hello {
  std::uint16_t version_min = kVersion;
  std::uint16_t version_max = kVersion;
  std::uint32_t features = 0;
  std::string_view client_name{};  // for status and logs, at most 63 bytes
};
void encode_hello(Buffer& out, const Hello& hello);
[[nodiscard]] Result<Hello> decode_hello(ByteSpan body);

struct Welcome {
  std::uint16_t version = kVersion;
  std::uint32_t frame_bytes_max = 0;    // of a body the client may send
  std::uint64_t payload_bytes_max = 0;  // of all parts of a job, descriptors included
  std::uint32_t jobs_max = 0;           // in flight on this connection before the server stops reading
  std::string_view server_version{};
};
void encode_welcome(Buffer& out, const Welcome& welcome);
[[nodiscard]] Result<Welcome> decode_welcome(ByteSpan body);

// ---- Parts: a job's input and its result -------------------------------------------------------
//
//     u16 count, u16 reserved, then per part {u8 where, u8 name_bytes, u16 reserved, u64 bytes, name},
//     then the bytes of the inline parts in order.

enum class Place : std::uint8_t {
  kInline = 0,
  kFd = 1,         // the n-th such part is the n-th descriptor of the frame
  kElsewhere = 2,  // of a result: it was written to the client's file, or came in CHUNK frames
};
struct Part {
  std::string_view name{};
  Place place = Place::kInline;
  std::uint64_t bytes = 0;
  ByteSpan data{};  // inline parts only
};
void encode_parts_table(ByteWriter& out, std::span<const Part> parts);
void encode_parts(ByteWriter& out, std::span<const Part> parts);
// Views into `bytes`; fails on anything but exactly one well-formed list. `parts` is reused storage. What may be
// elsewhere is for the caller to know.
[[nodiscard]] Result<void> decode_parts(ByteSpan bytes, std::vector<Part>& parts);

// ---- Jobs --------------------------------------------------------------------------------------

inline constexpr std::uint8_t kSubmitNoWait = 1;  // refuse with busy instead of waiting for a place
inline constexpr std::uint8_t kSubmitWantProgress = 2;
inline constexpr std::uint8_t kSubmitStream = 4;  // CHUNK frames with the result's first part, as it is made

// Limits a client may set on a job; absent means the pool's own. The pool's maxima always hold.
struct JobOptions {
  std::uint8_t priority = kPriorityDefault;
  bool no_wait = false;
  bool want_progress = false;
  bool stream = false;
  std::optional<std::uint32_t> queue_timeout_ms{};
  std::optional<std::uint32_t> run_timeout_ms{};
  std::optional<std::uint32_t> deadline_ms{};  // from acceptance to answer
  std::optional<std::uint32_t> attempts{};     // 1: at most once
  std::optional<RetryOn> retry_on{};
  bool output_file = false;                     // the frame's last descriptor is a file for the result's first part
  std::vector<std::uint64_t> shared_buffers{};  // ids that this connection has attached, at most kSharedBuffersMax
};

// SUBMIT's body:  u8 kind_bytes, u8 priority, u8 flags, u8 reserved, u32 options_bytes,
//                 kind, options, then the *job body*: u32 params_bytes, params, parts.
// The supervisor forwards the job body to a worker as it stands, without looking inside.
struct Submit {
  std::string_view kind{};
  JobOptions options{};
  ByteSpan job_body{};
};
void encode_submit_head(ByteWriter& out, std::string_view kind, const JobOptions& options);
void encode_job_body(ByteWriter& out, std::string_view params_json, std::span<const Part> parts);
[[nodiscard]] Result<Submit> decode_submit(ByteSpan body);
// Of the beginning of a body, while the rest is still on its way: nothing until the job body begins. The
// job_body is as much of it as is here; what lies before it is begun.size() - job_body.size() bytes.
[[nodiscard]] Result<std::optional<Submit>> decode_submit_head(ByteSpan begun);

struct JobBody {
  std::string_view params_json{};
  ByteSpan parts{};
};
[[nodiscard]] Result<JobBody> decode_job_body(ByteSpan job_body);

// RESULT's body: u32 options_bytes, options, parts.
struct ResultInfo {
  std::uint64_t job_id = 0;
  std::uint64_t queue_ns = 0;  // accepted -> published to the worker that answered; and its wait for memory there
  std::uint64_t run_ns = 0;    // in the job module
  std::uint32_t attempts = 1;
};
void encode_result_head(ByteWriter& out, const ResultInfo& info);
struct ResultView {
  ResultInfo info{};
  ByteSpan parts{};
};
[[nodiscard]] Result<ResultView> decode_result(ByteSpan body);

// ERROR and GOING_AWAY; also how a worker reports a job's error in its output extent.
void encode_error(ByteWriter& out, const Error& error);
[[nodiscard]] std::optional<Error> decode_error(ByteSpan body);  // nothing when malformed

// PROGRESS's body: u64 done, u64 total, u16 message_bytes, message. A body that ends after total has no message.
struct Progress {
  std::uint64_t done = 0;
  std::uint64_t total = 0;  // 0: nobody knows
  std::string message{};    // at most kProgressMessageBytesMax bytes
  friend bool operator==(const Progress&, const Progress&) = default;
};
void encode_progress(ByteWriter& out, const Progress& progress);
[[nodiscard]] Result<Progress> decode_progress(ByteSpan body);

// ---- Shared buffers ------------------------------------------------------------------------------
//
// BUFFER's body: u8 op, u8 access, u8 name_bytes, u8 reserved, u32 gid, u64 id, name.

enum class BufferOp : std::uint8_t {
  kCreate = 1,   // one descriptor: a memfd sealed with F_SEAL_SHRINK and F_SEAL_GROW; name may be empty
  kAttach = 2,   // by name
  kRelease = 3,  // by id; has no answer
};
// Who may attach it by name, besides its creator's user and root.
enum class BufferAccess : std::uint8_t { kUser = 0, kGroup = 1, kEveryone = 2 };
struct BufferRequest {
  BufferOp op{};
  BufferAccess access = BufferAccess::kUser;
  std::uint32_t gid = 0;  // kGroup's
  std::uint64_t id = 0;
  std::string_view name{};
};
void encode_buffer_request(ByteWriter& out, const BufferRequest& request);
[[nodiscard]] Result<BufferRequest> decode_buffer_request(ByteSpan body);

// ATTACHED's body: u64 id, u64 bytes. After kAttach it comes with one descriptor.
struct Attached {
  std::uint64_t id = 0;
  std::uint64_t bytes = 0;
};
void encode_attached(ByteWriter& out, const Attached& attached);
[[nodiscard]] Result<Attached> decode_attached(ByteSpan body);

// ---- Operators ---------------------------------------------------------------------------------

enum class AdminOp : std::uint8_t {
  kStatus = 1,   // answer: the status document
  kResize = 2,   // value: workers
  kDrain = 3,    // refuse new jobs, finish accepted ones
  kPause = 4,    // accept and queue, start none
  kResume = 5,   // undo drain and pause
  kRestart = 6,  // replace every worker (and the template) by a fresh one, one after another
  kJobs = 7,     // answer: the jobs that are queued and running
  kCancel = 8,   // value: a job's id
  kHealth = 9,   // run a canary job through the pool, or through every pool
  // value: an entry's id
  kQuarantineList = 10,
  kQuarantineShow = 11,
  kQuarantineRelease = 12,
  kQuarantineReplay = 13,  // run it once more; a success releases it
  kBuffers = 14,           // answer: the shared buffers
};
struct Admin {
  AdminOp op{};
  std::uint64_t value = 0;
  std::string_view pool{};
};
void encode_admin(ByteWriter& out, const Admin& admin);
[[nodiscard]] Result<Admin> decode_admin(ByteSpan body);

}  // namespace quern::wire
