// Job: the supervisor's record of one accepted job. This record, in private memory, is the truth
// about it; what lies in a channel is a copy.
//
//     accepted -> queued <-> published (in a worker's ring) -> running -> answered (record freed)
//                    ^                                           |
//                    +------ worker died, attempts left ---------+
//
// A running job may wait for memory, and then its clock stands (supervisor/pool_memory.cpp).
//
// A Job is in exactly one of these places: its pool's queue, one worker's slot, or being answered. It
// keeps its bytes and descriptors until it is answered, so that it can be tried again from them.
//
// Records come from a JobStore, which reuses them with their buffers: the hot path allocates nothing
// once warm. One thread.
#pragma once

#include <boost/intrusive/list_hook.hpp>
#include <boost/intrusive/set_hook.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/error.h"
#include "common/retry.h"
#include "common/unique_fd.h"
#include "ipc/channel.h"
#include "ipc/wire.h"
#include "supervisor/client_account.h"
#include "supervisor/fd_closer.h"
#include "supervisor/fingerprint.h"
#include "supervisor/shared_buffers.h"

namespace quern::supervisor {

class Pool;
class Worker;
struct Job;

// A kind of job and who serves it. Owned by its pool; lives as long as the server.
struct Kind {
  std::string name;
  std::string description_json;
  std::uint32_t index = 0;  // in its template's list
  bool sensitive = false;   // every buffer its jobs pass is wiped
  bool canary = false;      // health.POOL: proves that the pool works, see worker/sdk/job.h
  Pool* pool = nullptr;
};

// What a worker answered, checked: parts point into its output extent or are the fds, in order.
struct ResultParts {
  struct Part {
    std::string_view name{};
    wire::Place place = wire::Place::kInline;
    std::uint64_t bytes = 0;
    ipc::ByteSpan data{};
  };
  std::span<const Part> parts{};
  std::span<unique_fd> fds{};
};

// Whoever waits for jobs' answers; a session. Each accepted job gets exactly one of the first two
// calls, unless its client pointer was cleared before.
class JobClient {
 public:
  virtual void on_result(Job& job, const wire::ResultInfo& info, const ResultParts& result) = 0;
  virtual void on_error(Job& job, Error error) = 0;
  virtual void on_progress(Job& job, const wire::Progress& progress) = 0;
  // Of jobs with `stream`. How many bytes of the result it takes now; when it has left some, it calls
  // Pool::resume_stream() once it takes more. What is left when the job is done, little, is handed up either way.
  [[nodiscard]] virtual std::size_t stream_room(const Job& job) = 0;
  // The next bytes, in two pieces. Valid during the call; a worker may still write to them.
  virtual void on_stream(Job& job, ipc::ByteSpan first, ipc::ByteSpan second) = 0;

 protected:
  ~JobClient() = default;
};

using QueueHook = boost::intrusive::list_member_hook<>;
// Of jobs that no pool has accepted yet, or that wait for memory: one that goes leaves the line.
using LineHook =
    boost::intrusive::list_member_hook<boost::intrusive::link_mode<boost::intrusive::link_mode_type::auto_unlink>>;
using ExpiryHook = boost::intrusive::set_member_hook<boost::intrusive::optimize_size<true>>;

// The supervisor's own jobs (own_job.h) are nobody's.
inline constexpr std::uint64_t kOwnClientId = 0;

// Whether a job has memory of its pool's budget, see supervisor/memory_budget.h.
enum class MemoryState : std::uint8_t { kNone, kWaiting, kGranted };

struct Job {
  std::uint64_t id = 0;
  std::uint64_t request_id = 0;            // the client's name for it
  std::uint64_t client_id = kOwnClientId;  // whose it is, for fairness and status; also when the client is gone
  JobClient* client = nullptr;             // null: the client is gone, nobody is told
  const Kind* kind = nullptr;
  std::uint8_t priority = wire::kPriorityDefault;
  bool want_progress = false;
  bool stream = false;   // its result's first part goes to the client as it is made
  bool running = false;  // at the front of a worker's ring
  RetryOn retry_on = RetryOn::kCrash;
  std::uint32_t attempts_max = 1;
  std::uint32_t attempts = 0;  // begun so far
  std::uint32_t moves = 0;     // away from workers that had not begun it in time
  std::uint32_t queue_timeout_ms = 0;
  std::uint32_t run_timeout_ms = 0;
  std::uint64_t result_bytes_max = 0;

  // CLOCK_MONOTONIC nanoseconds
  std::int64_t accepted_ns = 0;
  std::int64_t published_ns = 0;
  std::int64_t begun_ns = 0;         // while running; moved on by what it waited for memory
  std::int64_t run_expiry_ns = 0;    // while running: of its run timeout or deadline
  std::int64_t slow_ns = INT64_MAX;  // while running: when it is logged as slow
  std::int64_t queue_expiry_ns = 0;
  std::int64_t deadline_ns = INT64_MAX;
  std::int64_t expiry_ns = 0;  // when the pool has to look at it next; key of expiry_hook's set

  wire::Progress progress;           // last told to the client
  std::uint64_t streamed_bytes = 0;  // handed up; a job of which some were is not tried again

  MemoryState memory = MemoryState::kNone;
  std::uint64_t memory_bytes = 0;  // that it has, or waits for; of the last time that it had or did
  std::int64_t memory_asked_ns = 0;
  std::int64_t memory_waited_ns = 0;  // in this attempt

  double expected_run_ns = 0;  // of jobs of its kind, when it was accepted

  CauseKind stop = CauseKind::kNone;  // why it was asked to stop while running
  Cause last_death{};                 // of the worker that had it last

  Worker* worker = nullptr;    // while published
  std::uint64_t position = 0;  // in that worker's channel

  // The wire job body, opaque: bytes in `body`, and a copy of them in `body_fd` once they did not fit an input
  // extent; or, when it is large, in the sealed memfd `body_fd` only, body_fd_bytes of them.
  std::vector<std::byte> body;
  unique_fd body_fd;
  std::uint64_t body_fd_bytes = 0;
  std::vector<unique_fd> fds;              // payload descriptors, sealed memfds
  std::vector<BufferRef> shared;           // the buffers it was submitted with
  ForeignFd output_file;                   // the client's, for the result's first part
  std::uint64_t payload_bytes = 0;         // body and descriptors together
  Charge charge;                           // what it costs its client; goes with the record
  std::optional<Fingerprint> fingerprint;  // of kind and content, when somebody had reason to know

  QueueHook queue_hook;
  QueueHook arrival_hook;
  LineHook line_hook;
  LineHook memory_hook;
  ExpiryHook expiry_hook;

  [[nodiscard]] std::uint64_t body_bytes() const noexcept { return body.empty() ? body_fd_bytes : body.size(); }
};

// Hands out records and takes them back. Keeps at most kSpareMax of them, and no buffer above
// kSpareBodyBytesMax, so that a burst's memory comes back.
class JobStore {
 public:
  static constexpr std::size_t kSpareMax = 4096;
  static constexpr std::size_t kSpareBodyBytesMax = 16U << 10;

  explicit JobStore(FdCloser& closer) : closer_(closer) {}

  [[nodiscard]] std::unique_ptr<Job> acquire();
  // Wipes the body when the kind is sensitive. The payload of a large job is freed away from the loop.
  void release(std::unique_ptr<Job> job) noexcept;

 private:
  FdCloser& closer_;
  std::vector<std::unique_ptr<Job>> spare_;
  std::uint64_t next_id_ = 1;
};

}  // namespace quern::supervisor
