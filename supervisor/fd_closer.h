// FdCloser: closes descriptors whose closing can take long, elsewhere than on the supervisor's only thread.
//
// - What a client sent can be anything, and close(2) asks its file system (FUSE and NFS flush on every close): one
//   that hangs never answers.
// - The last descriptor of a large memfd gives its pages back, some 150 ms for a GiB.
//
// So these are closed on threads, which end when they have had nothing to close for a while: one for memory, and one a
// user for the rest. Who sends descriptors of a file system that hangs gets his own thread stuck, and nobody else's.
// What hangs piles up: hanging() tells, and who has too many is not listened to any more (session.h, server.h).
//
// All may be called from any thread. The threads outlive the FdCloser if they must: the end of the process ends them.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "common/unique_fd.h"

namespace quern::supervisor {

class FdCloser {
 public:
  FdCloser();
  FdCloser(const FdCloser&) = delete;
  FdCloser& operator=(const FdCloser&) = delete;
  ~FdCloser();

  // At once when that is quick for certain: a memfd of less than kQuickBytes.
  void close(unique_fd fd, uid_t uid);
  static constexpr std::uint64_t kQuickBytes = 2U << 20;  // about 0.3 ms
  // Of memory of our own; the vector is empty then.
  void close(unique_fd memory) { close(std::move(memory), 0); }
  void close(std::vector<unique_fd>& memory) {
    for (unique_fd& fd : memory) close(std::move(fd));
    memory.clear();
  }
  // Whether `fd` is anything but memory. Asks no file system.
  [[nodiscard]] static bool may_hang(int fd) noexcept;
  // How many of this user's are not closed yet.
  [[nodiscard]] std::size_t pending(uid_t uid) const;
  // Of all users, memory included.
  [[nodiscard]] std::size_t pending() const;
  // How many threads it has now; they stay for a moment after the last close.
  [[nodiscard]] std::size_t threads() const;
  // Of them, when the one at hand has not come back for kHanging; 0 otherwise: a burst is no hang.
  [[nodiscard]] std::size_t hanging(uid_t uid) const;
  static constexpr std::chrono::seconds kHanging{1};

 private:
  struct Shared;
  using Queue = std::uint64_t;  // a user, or memory
  static void close_all(const std::shared_ptr<Shared>& shared, Queue queue);

  std::shared_ptr<Shared> shared_;
};

// A descriptor that is kept open for a while, and closed that way.
class ForeignFd {
 public:
  ForeignFd() = default;
  ForeignFd(unique_fd fd, FdCloser& closer, uid_t uid) noexcept : fd_(std::move(fd)), closer_(&closer), uid_(uid) {}
  ForeignFd(ForeignFd&& other) noexcept = default;
  ForeignFd& operator=(ForeignFd&& other) noexcept {
    reset();
    fd_ = std::move(other.fd_);
    closer_ = other.closer_;
    uid_ = other.uid_;
    return *this;
  }
  ~ForeignFd() { reset(); }

  [[nodiscard]] int get() const noexcept { return fd_.get(); }
  [[nodiscard]] bool valid() const noexcept { return fd_.valid(); }
  explicit operator bool() const noexcept { return valid(); }

 private:
  void reset() {
    if (fd_) closer_->close(std::move(fd_), uid_);
  }

  unique_fd fd_;
  FdCloser* closer_ = nullptr;
  uid_t uid_ = 0;
};

}  // namespace quern::supervisor
