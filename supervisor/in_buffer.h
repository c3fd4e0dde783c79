// InBuffer: bytes and descriptors received from one client and not yet handled.
//
// One contiguous buffer, so that a frame is always a span. It starts small, grows only as bytes
// really arrive (a client that announces a large frame and sends nothing costs nothing), and shrinks
// back. Consumed secrets are wiped, also from the places they are moved away from. One thread.
#pragma once

#include <cstddef>
#include <vector>

#include "common/error.h"
#include "common/unique_fd.h"
#include "ipc/fd_passing.h"

namespace quern::supervisor {

class InBuffer {
 public:
  static constexpr std::size_t kBytesAtRest = 64U << 10;
  static constexpr std::size_t kPendingFdsMax = 256;

  InBuffer() : storage_(kBytesAtRest) {}
  InBuffer(const InBuffer&) = delete;
  InBuffer& operator=(const InBuffer&) = delete;
  ~InBuffer();

  [[nodiscard]] ipc::ByteSpan bytes() const noexcept { return {storage_.data() + begin_, end_ - begin_}; }

  // Receives once. `wanted`: the size of the frame being waited for, header included; the buffer is
  // let grow towards it, and nothing behind a frame larger than kBytesAtRest is received with it. kDone with `filled`:
  // there may be more.
  struct Received {
    ipc::IoStatus status = ipc::IoStatus::kDone;
    bool filled = false;
  };
  [[nodiscard]] Result<Received> receive(int socket, std::size_t wanted);

  // Gives back the memory of a large frame. Requires: everything is consumed.
  void rest();

  // Drops the first `n` bytes.
  void consume(std::size_t n, bool wipe) noexcept;

  // The first `n` descriptors, in the order they came; fewer when the client sent fewer.
  [[nodiscard]] std::vector<unique_fd> take_fds(std::size_t n);

 private:
  void make_room(std::size_t wanted);

  std::vector<std::byte> storage_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  std::vector<unique_fd> fds_;
};

}  // namespace quern::supervisor
