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

}  // namespace

OutQueue::~OutQueue() {
  while (!segments_.empty()) pop();
}

OutQueue::Segment& OutQueue::add_segment() {
  bytes_before_last_ = bytes();
  return segments_.emplace_back();
}

OutQueue::Segment& OutQueue::open_segment(std::size_t bytes) {
  Segment& segment = add_segment();
  segment.bytes = std::move(spare_);
  spare_ = {};
  segment.bytes.reserve(std::max(bytes, kSegmentBytes));
  return segment;
}

wire::Buffer& OutQueue::frame(std::size_t bytes, std::vector<unique_fd> fds, bool sensitive, std::uint64_t fd_bytes) {
  const bool fits = !segments_.empty() && fds.empty() && segments_.back().file_bytes == 0 &&
                    segments_.back().bytes.capacity() - segments_.back().bytes.size() >= bytes;
  Segment& segment = fits ? segments_.back() : open_segment(bytes);
  if (!fds.empty()) {
    memfds_ += fds.size();
    memfd_bytes_ += fd_bytes;
    segment.fd_bytes = fd_bytes;
    segment.fds = std::move(fds);
  }
  segment.sensitive |= sensitive;
  return segment.bytes;
}

wire::Buffer& OutQueue::continue_frame(std::size_t bytes, bool sensitive) { return frame(bytes, {}, sensitive); }

void OutQueue::append_file(unique_fd memfd, std::uint64_t bytes) {
  if (bytes == 0) return;
  Segment& segment = add_segment();
  segment.file = std::move(memfd);
  segment.file_bytes = bytes;
  memfd_bytes_ += bytes;
  ++memfds_;
}

Result<ipc::IoStatus> OutQueue::send(int socket) {
  std::uint64_t turn = kTurnBytes;
  while (!segments_.empty() && turn > 0) {
    Segment& segment = segments_.front();
    const auto sent = segment.file_bytes > 0 ? send_file(socket, segment, turn) : send_bytes(socket, segment, turn);
    if (!sent) return sent.error();
    if (sent->status != ipc::IoStatus::kDone) return sent->status;
    segment.sent += sent->bytes;
    turn -= sent->bytes;
    if (segment.sent == segment.size()) pop();
  }
  return ipc::IoStatus::kDone;
}

Result<ipc::IoResult> OutQueue::send_bytes(int socket, const Segment& segment, std::uint64_t bytes_max) {
  std::vector<int> fds;  // empty but for the first byte of a segment with descriptors
  if (segment.sent == 0) {
    for (const unique_fd& fd : segment.fds) fds.push_back(fd.get());
  }
  const auto rest = ipc::ByteSpan(segment.bytes).subspan(static_cast<std::size_t>(segment.sent));
  return ipc::send_with_fds(socket, rest.first(std::min<std::uint64_t>(rest.size(), bytes_max)), fds);
}

Result<ipc::IoResult> OutQueue::send_file(int socket, const Segment& segment, std::uint64_t bytes_max) {
  auto offset = static_cast<off_t>(segment.sent);
  const auto chunk = std::min(segment.file_bytes - segment.sent, bytes_max);
  ssize_t sent = 0;
  do {
    sent = ::sendfile(socket, segment.file.get(), &offset, static_cast<std::size_t>(chunk));
  } while (sent < 0 && errno == EINTR);
  if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return ipc::IoResult{ipc::IoStatus::kWouldBlock, 0};
  if (sent < 0 && (errno == EPIPE || errno == ECONNRESET)) return ipc::IoResult{ipc::IoStatus::kClosed, 0};
  if (sent <= 0) return system_error("sendfile", "result", errno);
  return ipc::IoResult{ipc::IoStatus::kDone, static_cast<std::size_t>(sent)};
}

void OutQueue::pop() {
  Segment& segment = segments_.front();
  if (segment.sensitive) ::explicit_bzero(segment.bytes.data(), segment.bytes.size());
  memfds_ -= segment.fds.size() + (segment.file ? 1 : 0);
  memfd_bytes_ -= segment.fd_bytes + segment.file_bytes;
  // its reader may have closed its own already, or is gone: then ours is the last
  if (closer_ != nullptr && segment.file_bytes >= FdCloser::kQuickBytes) closer_->close(std::move(segment.file));
  if (closer_ != nullptr && segment.fd_bytes >= FdCloser::kQuickBytes) closer_->close(segment.fds);
  if (segments_.size() > 1) bytes_before_last_ -= segment.bytes.size();
  if (segment.bytes.capacity() == kSegmentBytes) {
    spare_ = std::move(segment.bytes);
    spare_.clear();
  }
  segments_.pop_front();
}

}  // namespace quern::supervisor
