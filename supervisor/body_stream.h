// BodyStream: the job body of one large SUBMIT on its way from the client's socket into a sealed memfd,
// through the session's buffer. The memfd is what the job's worker gets, so the bytes are copied once more
// after the socket, never stay in our memory, and a retry has them too.
//
// How a session receives a frame:
//
//     header is here
//       | fits InBuffer ----------------> buffered whole, handled
//       | any other that is no SUBMIT --> protocol error
//       v
//     its head is here (kind, options, descriptors; of the body what came along)
//       | refused: ERROR at once -------> discarding ------------------(last byte)--> next frame
//       v                                     ^
//     its pool's queue has a place            |     (until then, the connection is not read)
//       v                                     |
//     its share of receive_bytes_max is here  |     (until then, the connection is not read)
//       v                                     |
//     receiving --(memory or descriptors are short: ERROR busy)
//       | last byte
//       v
//     sealed: the job's body_fd; the job goes to its pool, or waits for a place there
//
// What is held, and what becomes of it when the client dies, is too slow, or is shut down:
//
//     | in state                     | holds                                   | freed by                       |
//     |------------------------------|-----------------------------------------|--------------------------------|
//     | waiting (place, or share)    | job record, descriptors, 64 KiB of body | the session's end              |
//     | receiving                    | and a share of the budget, and a memfd  | the session's end, which may   |
//     |                              | of the bytes so far                     | come while the client still    |
//     |                              |                                         | listens for other answers      |
//     | discarding                   | nothing                                 |                                |
//     | sealed, waits for a place    | job record with the memfd, the share    | the session's end, or ERROR    |
//     |                              |                                         | busy after its queue timeout   |
//     | accepted                     | job record with the memfd               | the job's answer               |
//
// Why recv into 64 KiB that stay in the cache and pwrite from there: measured beside splice through a pipe,
// it costs as much processor time (0.45 to 0.5 s a GiB), and recv into a mapping of the memfd costs half as
// much again or twice that, of page faults and of pages zeroed before they are written, with huge pages too.
//
// One thread.
#pragma once

#include <cstdint>
#include <utility>

#include "common/error.h"
#include "common/unique_fd.h"
#include "ipc/bytes.h"

namespace quern::supervisor {

class BodyStream {
 public:
  // Of a body of `bytes` bytes. Until keep(), what is taken is thrown away.
  explicit BodyStream(std::uint64_t bytes) noexcept : bytes_(bytes), missing_(bytes) {}

  // Requires: nothing was taken yet.
  [[nodiscard]] Result<void> keep();
  // The rest is thrown away, and what was kept is the caller's to close: freeing it may take long.
  [[nodiscard]] unique_fd discard() noexcept { return std::move(memfd_); }

  // Takes the body's part of what came, and says how much that is. An Error: it can't be kept. Then nothing
  // was taken, and the caller discards.
  [[nodiscard]] Result<std::size_t> take(ipc::ByteSpan came);

  [[nodiscard]] std::uint64_t bytes() const noexcept { return bytes_; }
  [[nodiscard]] std::uint64_t missing() const noexcept { return missing_; }
  [[nodiscard]] bool keeps() const noexcept { return static_cast<bool>(memfd_); }

  // The body, sealed. Requires: it was kept, and nothing is missing.
  [[nodiscard]] Result<unique_fd> finish();

 private:
  std::uint64_t bytes_;
  std::uint64_t missing_;
  unique_fd memfd_;
};

}  // namespace quern::supervisor
