// OutQueue: frames on their way to one client, in order, over a non-blocking stream socket.
//
// A segment is either bytes (many small frames share one, so that one sendmsg carries them), possibly
// with descriptors that travel with its first byte, or a memfd's contents sent by sendfile(2) for
// clients that take no descriptors: then a large result never passes through our memory.
//
// Segments never grow past their capacity, so that no reallocation leaves a copy of a secret behind;
// segments marked sensitive are wiped once sent. One thread.
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "common/error.h"
#include "common/unique_fd.h"
#include "ipc/fd_passing.h"
#include "ipc/wire.h"
#include "supervisor/fd_closer.h"

namespace quern::supervisor {

class OutQueue {
 public:
  static constexpr std::uint64_t kTurnBytes = 1U << 20;

  // `closer`: frees large memfds once they are sent; without one, send() does.
  explicit OutQueue(FdCloser* closer = nullptr) : closer_(closer) {}
  OutQueue(const OutQueue&) = delete;
  OutQueue& operator=(const OutQueue&) = delete;
  ~OutQueue();

  // Where to append a frame of at most `bytes` bytes with `fds`, memfds of `fd_bytes` together; they are sent with its
  // first byte.
  [[nodiscard]] wire::Buffer& frame(std::size_t bytes, std::vector<unique_fd> fds = {}, bool sensitive = false,
                                    std::uint64_t fd_bytes = 0);
  // Continues the last frame with the whole contents of a sealed memfd.
  void append_file(unique_fd memfd, std::uint64_t bytes);
  // Continues the last frame; at most `bytes` more.
  [[nodiscard]] wire::Buffer& continue_frame(std::size_t bytes, bool sensitive);

  [[nodiscard]] bool empty() const noexcept { return segments_.empty(); }
  // Bytes held in our memory.
  [[nodiscard]] std::uint64_t bytes() const noexcept {
    return segments_.empty() ? 0 : bytes_before_last_ + segments_.back().bytes.size();
  }
  // And in memfds that are on their way; how many.
  [[nodiscard]] std::uint64_t memfd_bytes() const noexcept { return memfd_bytes_; }
  [[nodiscard]] std::uint64_t memfds() const noexcept { return memfds_; }

  // Sends what the socket takes, at most about kTurnBytes: a client that reads as fast as we send must not
  // keep us from the others. kDone: all of it, or that much (see empty()); kWouldBlock: wait until it is
  // writable; kClosed.
  [[nodiscard]] Result<ipc::IoStatus> send(int socket);

 private:
  struct Segment {
    wire::Buffer bytes{};
    std::vector<unique_fd> fds{};
    std::uint64_t fd_bytes = 0;
    unique_fd file{};
    std::uint64_t file_bytes = 0;
    std::uint64_t sent = 0;
    bool sensitive = false;
    [[nodiscard]] std::uint64_t size() const noexcept { return file_bytes > 0 ? file_bytes : bytes.size(); }
  };
  [[nodiscard]] static Result<ipc::IoResult> send_bytes(int socket, const Segment& segment, std::uint64_t bytes_max);
  [[nodiscard]] static Result<ipc::IoResult> send_file(int socket, const Segment& segment, std::uint64_t bytes_max);
  Segment& add_segment();
  [[nodiscard]] Segment& open_segment(std::size_t bytes);
  void pop();

  FdCloser* closer_;
  std::deque<Segment> segments_;
  std::uint64_t bytes_before_last_ = 0;  // of all segments but the last, which grows
  std::uint64_t memfd_bytes_ = 0;
  std::uint64_t memfds_ = 0;
  wire::Buffer spare_;  // the last sent segment's buffer, empty and ready for the next
};

}  // namespace quern::supervisor
