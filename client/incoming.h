// Incoming: bytes and descriptors from the server, taken out frame by frame.
//
// One large buffer, so that one recvmsg(2) brings many answers and a frame is always a span of it. It
// grows for a frame that needs it and shrinks back. One thread.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "common/error.h"
#include "common/unique_fd.h"
#include "ipc/fd_passing.h"
#include "ipc/wire.h"

namespace quern::client {

class Incoming {
 public:
  // Large results come in descriptors. A server that announces a frame like this is none of ours.
  static constexpr std::size_t kFrameBytesMax = 1U << 30;

  Incoming();

  // Receives once from a non-blocking socket. `filled`: there may be more.
  struct Received {
    ipc::IoStatus status = ipc::IoStatus::kDone;
    bool filled = false;
  };
  [[nodiscard]] Result<Received> receive(int socket);

  // The next whole frame, if there is one; `body` and `fds` are the caller's until the next call of
  // anything here. An Error: the stream can't be understood any more.
  struct Frame {
    wire::FrameHeader header{};
    ipc::ByteSpan body{};
    std::vector<unique_fd> fds{};
  };
  [[nodiscard]] Result<std::optional<Frame>> next();

  void clear() noexcept;

 private:
  std::vector<std::byte> storage_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  std::size_t wanted_ = wire::kHeaderBytes;  // size of the frame being received
  std::vector<unique_fd> fds_;
};

}  // namespace quern::client
