// InBuffer: bytes and descriptors received from one client and not yet handled.
//
// One contiguous buffer of a fixed size, so that a frame that fits is always a span, and a connection
// costs the same whatever it sends; what is larger passes through it in pieces (body_stream.h). Consumed
// secrets are wiped, also from the places they are moved away from. One thread.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "common/error.h"
#include "common/unique_fd.h"
#include "ipc/fd_passing.h"

namespace quern::supervisor {

class InBuffer {
 public:
  static constexpr std::size_t kBytes = 64U << 10;
  static constexpr std::size_t kPendingFdsMax = 256;

  InBuffer() : storage_(kBytes) {}
  InBuffer(const InBuffer&) = delete;
  InBuffer& operator=(const InBuffer&) = delete;
  ~InBuffer();

  [[nodiscard]] ipc::ByteSpan bytes() const noexcept { return {storage_.data() + begin_, end_ - begin_}; }

  // Receives once. `wanted`, at most kBytes: how many bytes() are waited for; there are fewer now. kDone with
  // `filled`: there may be more.
  struct Received {
    ipc::IoStatus status = ipc::IoStatus::kDone;
    std::size_t bytes = 0;
    bool filled = false;
    std::size_t fds = 0;
  };
  [[nodiscard]] Result<Received> receive(int socket, std::size_t wanted);

  // Drops the first `n` bytes.
  void consume(std::size_t n, bool wipe) noexcept;

  // Those that came last. Who closes one leaves its place empty, for the frame that announces it.
  [[nodiscard]] std::span<unique_fd> newest_fds(std::size_t n) noexcept { return std::span(fds_).last(n); }
  // The first `n` descriptors, in the order they came; fewer when the client sent fewer.
  [[nodiscard]] std::vector<unique_fd> take_fds(std::size_t n);

 private:
  void move_to_front() noexcept;

  std::vector<std::byte> storage_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  std::vector<unique_fd> fds_;
};

}  // namespace quern::supervisor
