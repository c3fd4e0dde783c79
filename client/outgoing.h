// Outgoing: frames on their way to the server, in order.
//
// Small frames share a segment, so that one sendmsg(2) carries many jobs. Descriptors travel with the
// first byte of a segment, so a frame that has some begins a new one; they are kept open until then.
//
// The socket must be non-blocking. One thread.
#pragma once

#include <cstddef>
#include <deque>
#include <memory>
#include <vector>

#include "common/error.h"
#include "common/unique_fd.h"
#include "ipc/fd_passing.h"
#include "ipc/wire.h"

namespace quern::client {

using SharedFd = std::shared_ptr<unique_fd>;

class Outgoing {
 public:
  // Where to append the next frame.
  [[nodiscard]] wire::Buffer& frame(std::vector<SharedFd> fds = {});
  // Takes the last frame back: the buffer that frame() gave had `bytes` bytes before it.
  void take_back(std::size_t bytes);

  [[nodiscard]] bool empty() const noexcept { return segments_.empty(); }
  void clear() noexcept { segments_.clear(); }

  // Sends what the socket takes. kDone: all of it; kWouldBlock: wait until it is writable; kClosed.
  [[nodiscard]] Result<ipc::IoStatus> send(int socket);

 private:
  struct Segment {
    wire::Buffer bytes{};
    std::vector<SharedFd> fds{};
    std::size_t sent = 0;
  };
  void pop();

  std::deque<Segment> segments_;
  wire::Buffer spare_;  // the last sent segment's buffer, empty and ready for the next
};

}  // namespace quern::client
