#include "supervisor/out_queue.h"

#include <errno.h>
#include <string.h>
#include <sys/sendfile.h>

#include <algorithm>
#include <utility>

namespace quern::supervisor {
namespace {

// Room for a few hundred small answers in one sendmsg.
constexpr std::size_t kSegmentBytes = 64U << 10;
constexpr std::size_t kSendfileBytesMax = 1U << 20;  // a turn; others have theirs in between

}  // namespace

OutQueue::~OutQueue() {
  while (!segments_.empty()) pop();
}

OutQueue::Segment& OutQueue::open_segment(std::size_t bytes) {
  Segment& segment = segments_.emplace_back();
  segment.bytes = std::move(spare_);
  spare_ = {};
  segment.bytes.reserve(std::max(bytes, kSegmentBytes));
  return segment;
}

wire::Buffer& OutQueue::frame(std::size_t bytes, std::vector<unique_fd> fds, bool sensitive) {
  const bool fits = !segments_.empty() && fds.empty() && segments_.back().file_bytes == 0 &&
                    segments_.back().bytes.capacity() - segments_.back().bytes.size() >= bytes;
  Segment& segment = fits ? segments_.back() : open_segment(bytes);
  if (!fds.empty()) segment.fds = std::move(fds);
  segment.sensitive |= sensitive;
  return segment.bytes;
}

wire::Buffer& OutQueue::continue_frame(std::size_t bytes, bool sensitive) { return frame(bytes, {}, sensitive); }

void OutQueue::append_file(unique_fd memfd, std::uint64_t bytes) {
  if (bytes == 0) return;
  Segment& segment = segments_.emplace_back();
  segment.file = std::move(memfd);
  segment.file_bytes = bytes;
}

std::uint64_t OutQueue::bytes() const noexcept {
  std::uint64_t total = 0;
  for (const Segment& segment : segments_) total += segment.bytes.size();
  return total;
}

Result<ipc::IoStatus> OutQueue::send(int socket) {
  while (!segments_.empty()) {
    Segment& segment = segments_.front();
    const auto status = segment.file_bytes > 0 ? send_file(socket, segment) : send_bytes(socket, segment);
    if (!status || *status != ipc::IoStatus::kDone) return status;
    pop();
  }
  return ipc::IoStatus::kDone;
}

Result<ipc::IoStatus> OutQueue::send_bytes(int socket, Segment& segment) {
  while (segment.sent < segment.bytes.size()) {
    std::vector<int> fds;  // empty but for the first byte of a segment with descriptors
    if (segment.sent == 0) {
      for (const unique_fd& fd : segment.fds) fds.push_back(fd.get());
    }
    const auto rest = ipc::ByteSpan(segment.bytes).subspan(static_cast<std::size_t>(segment.sent));
    const auto sent = ipc::send_with_fds(socket, rest, fds);
    if (!sent) return sent.error();
    if (sent->status != ipc::IoStatus::kDone) return sent->status;
    segment.sent += sent->bytes;
  }
  return ipc::IoStatus::kDone;
}

Result<ipc::IoStatus> OutQueue::send_file(int socket, Segment& segment) {
  while (segment.sent < segment.file_bytes) {
    auto offset = static_cast<off_t>(segment.sent);
    const auto chunk = std::min<std::uint64_t>(segment.file_bytes - segment.sent, kSendfileBytesMax);
    const ssize_t sent = ::sendfile(socket, segment.file.get(), &offset, static_cast<std::size_t>(chunk));
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return ipc::IoStatus::kWouldBlock;
    if (sent < 0 && (errno == EPIPE || errno == ECONNRESET)) return ipc::IoStatus::kClosed;
    if (sent <= 0) return system_error("sendfile", "result", errno);
    segment.sent += static_cast<std::uint64_t>(sent);
  }
  return ipc::IoStatus::kDone;
}

void OutQueue::pop() {
  Segment& segment = segments_.front();
  if (segment.sensitive) ::explicit_bzero(segment.bytes.data(), segment.bytes.size());
  if (segment.bytes.capacity() == kSegmentBytes) {
    spare_ = std::move(segment.bytes);
    spare_.clear();
  }
  segments_.pop_front();
}

}  // namespace quern::supervisor
