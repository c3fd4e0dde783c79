// Quarantine: contents (kind, parameters, payload) that kill workers, and are refused once they have done
// so often enough.
//
//     unknown --death--> suspect --quarantine_deaths reached--> quarantined --release, replay--> unknown
//                           |
//                           +--a job with this content was answered--> unknown
//
// A death counts when the job had begun and ended its worker by itself: a crash, an exit, a forbidden
// system call, memory, or a run timeout that it ignored. A SIGKILL that Quern did not send does not
// count: somebody else's hand, or the kernel's. A suspect that is answered once is cleared, so that
// common contents don't add up the bad luck of months.
//
// The hot path pays nothing: a job is fingerprinted only when a suspect of its kind has its very sizes.
// Large payloads are hashed in slices between which the loop serves others.
//
// Kept in memory only, at most kEntriesMax; the payloads for a replay within bytes_max, and never those of
// sensitive kinds; suspects' payloads go first when there are too many, or too many descriptors. One thread. Destroy
// with the io_context gone, or idle.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <deque>
#include <list>
#include <optional>
#include <string>
#include <vector>

#include "common/error.h"
#include "common/unique_fd.h"
#include "supervisor/fingerprint.h"
#include "supervisor/job.h"

namespace quern::supervisor {

class Quarantine {
 public:
  static constexpr std::size_t kEntriesMax = 1'000;
  static constexpr std::size_t kDeathsKept = 8;
  static constexpr std::size_t kDescriptorsKept = 128;
  static constexpr std::size_t kDescriptorsHashed = 512;  // at a time; a death beyond them goes uncounted
  static constexpr std::size_t kDescriptorsMax = kDescriptorsKept + kDescriptorsHashed;

  struct Death {
    std::int64_t unix_ms = 0;
    std::uint64_t job_id = 0;
    pid_t worker_pid = 0;
    Cause cause{};
  };
  // A content's own copy: a memfd, or bytes when they are few, and the payload's sealed descriptors.
  struct Content {
    std::vector<std::byte> body{};
    unique_fd body_fd{};
    std::vector<unique_fd> fds{};
    [[nodiscard]] std::size_t descriptors() const noexcept { return fds.size() + (body_fd ? 1 : 0); }
  };
  struct Entry {
    Fingerprint fingerprint{};
    const Kind* kind = nullptr;
    std::uint64_t body_bytes = 0;
    std::uint64_t payload_bytes = 0;
    std::uint64_t deaths = 0;
    std::uint64_t refused = 0;
    bool quarantined = false;
    std::deque<Death> last_deaths{};  // newest last
    std::optional<Content> content{};
  };

  // `closer`: frees contents, whose last descriptor may be ours.
  Quarantine(boost::asio::io_context& io, FdCloser& closer, std::uint64_t bytes_max)
      : io_(io), closer_(closer), bytes_max_(bytes_max) {}

  // Jobs with shared buffers are never in it: what they read there may be another thing each time.

  // Whether only identify() can tell if `job` is one of ours.
  [[nodiscard]] bool must_identify(const Job& job) const noexcept;
  // Sets job.fingerprint. The job must stay until then, and not be published.
  [[nodiscard]] boost::asio::awaitable<void> identify(Job& job);
  // Why `job` is refused, or nothing.
  [[nodiscard]] std::optional<Error> refusal(const Job& job);

  // `job` has ended its worker. Copies what it needs; the count is right a moment later.
  void note_death(const Job& job, pid_t worker_pid, Cause cause, std::uint32_t deaths_max);
  void note_answer(const Job& job) noexcept;

  [[nodiscard]] const std::list<Entry>& entries() const noexcept { return entries_; }
  [[nodiscard]] Entry* find(std::uint64_t id) noexcept;
  void release(std::uint64_t id) noexcept;

 private:
  [[nodiscard]] boost::asio::awaitable<void> record(Content content, Entry seen, Death death, std::uint32_t deaths_max);
  Entry& entry_for(Entry&& seen, Content& content);
  void drop(std::list<Entry>::iterator at) noexcept;
  void keep(Entry& entry, Content& content);
  void forget_content(Entry& entry) noexcept;
  void close(Content& content) noexcept;

  boost::asio::io_context& io_;
  FdCloser& closer_;
  std::uint64_t bytes_max_;
  std::uint64_t bytes_kept_ = 0;
  std::size_t descriptors_kept_ = 0;
  std::size_t descriptors_hashed_ = 0;
  std::list<Entry> entries_;  // oldest first
};

// Whether a death by `cause` is a mark against the job that ran.
[[nodiscard]] bool counts_against_job(Cause cause) noexcept;

}  // namespace quern::supervisor
