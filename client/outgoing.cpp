#include "client/outgoing.h"

#include <utility>

namespace quern::client {
namespace {

constexpr std::size_t kSegmentBytes = 64U << 10;    // of frames that share a segment
constexpr std::size_t kSpareBytesMax = 256U << 10;  // a larger buffer is not kept

}  // namespace

wire::Buffer& Outgoing::frame(std::vector<SharedFd> fds) {
  if (segments_.empty() || !fds.empty() || segments_.back().bytes.size() >= kSegmentBytes) {
    segments_.push_back({.bytes = std::exchange(spare_, {}), .fds = std::move(fds)});
  }
  return segments_.back().bytes;
}

void Outgoing::take_back(std::size_t bytes) {
  segments_.back().bytes.resize(bytes);
  if (bytes == 0) segments_.pop_back();
}

void Outgoing::pop() {
  wire::Buffer& bytes = segments_.front().bytes;
  bytes.clear();
  if (bytes.capacity() <= kSpareBytesMax) spare_ = std::move(bytes);
  segments_.pop_front();
}

Result<ipc::IoStatus> Outgoing::send(int socket) {
  std::vector<int> borrowed;
  while (!segments_.empty()) {
    Segment& segment = segments_.front();
    borrowed.clear();
    if (segment.sent == 0) {
      for (const SharedFd& fd : segment.fds) borrowed.push_back(fd->get());
    }
    const auto sent = ipc::send_with_fds(socket, ipc::ByteSpan(segment.bytes).subspan(segment.sent), borrowed);
    if (!sent) return sent.error();
    if (sent->status != ipc::IoStatus::kDone) return sent->status;
    segment.fds.clear();
    segment.sent += sent->bytes;
    if (segment.sent == segment.bytes.size()) pop();
  }
  return ipc::IoStatus::kDone;
}

}  // namespace quern::client
