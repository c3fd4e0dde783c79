// CompletionReader: what a worker answered, checked before anything believes it.
//
// The worker may be hostile: it can write anywhere in the channel at any time and send any message over
// its control socket. So each word is read once into private memory and checked there, spans are cut
// from the supervisor's own geometry, and descriptors are counted and must be sealed. What read() passes
//   result   parts <= kResultPartsMax; names are in private memory, at most 47 bytes; the parts' bytes
//            together are within the job's limit; inline parts lie inside the position's output extent
//            (their contents may still change: they are only ever copied); each descriptor is a sealed
//            memfd of exactly its part's size, and none is left over
//   error    decoded from a private copy
//
// An answer is valid until the next read() or drop(). When the worker is dead the same checks hold: what
// it completed before is answered. One thread.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "common/error.h"
#include "common/unique_fd.h"
#include "ipc/channel.h"
#include "ipc/control.h"
#include "supervisor/job.h"

namespace quern::supervisor {

// What a worker answered to one job: a result, or the job's error.
struct WorkerAnswer {
  std::uint64_t run_ns = 0;
  std::optional<Error> error{};
  ResultParts result{};  // when there is no error; valid during the call
};

class CompletionReader {
 public:
  // All are borrowed and outlive the reader. `control` is the supervisor's end, non-blocking. `closer`: closes
  // descriptors that nobody wants; without one, the reader does.
  CompletionReader(const ipc::Channel& channel, int control, FdCloser* closer = nullptr);
  CompletionReader(const CompletionReader&) = delete;
  CompletionReader& operator=(const CompletionReader&) = delete;
  ~CompletionReader() { drop(); }

  // `completion` comes from CompletionConsumer::look(), which has checked its own fields. `job`: who
  // waits at that position; null when it was revoked, and then the worker must have skipped it.
  // Nothing: the worker lied.
  [[nodiscard]] std::optional<WorkerAnswer> read(const ipc::Completion& completion, const Job* job);

  // Closes the descriptors that nobody took out of the answer. They may be anything, a file on a file system that
  // hangs as well: the job's client may have given it to the worker, so it is that user's to wait for.
  void drop() noexcept;

 private:
  [[nodiscard]] bool read_result(const ipc::Completion& completion, const Job& job, WorkerAnswer& answer);
  [[nodiscard]] bool read_error(const ipc::Completion& completion, WorkerAnswer& answer) const;
  [[nodiscard]] bool receive_fds(const ipc::Completion& completion);

  const ipc::Channel& channel_;
  int control_;
  FdCloser* closer_;
  uid_t uid_ = kNobodysUid;  // whose job was read last
  // reused from answer to answer
  std::vector<ResultParts::Part> parts_;
  std::vector<ipc::ResultPart> raw_parts_;  // the parts' names are views into these
  std::vector<unique_fd> fds_;
  ipc::ControlMessage message_;
};

}  // namespace quern::supervisor
