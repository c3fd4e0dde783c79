#include "supervisor/in_buffer.h"

#include <string.h>

#include <algorithm>
#include <cstring>
#include <iterator>
#include <utility>

namespace quern::supervisor {

InBuffer::~InBuffer() { ::explicit_bzero(storage_.data(), storage_.size()); }

void InBuffer::make_room(std::size_t wanted) {
  const std::size_t held = end_ - begin_;
  std::size_t capacity = storage_.size();
  if (held == 0 && capacity > kBytesAtRest && wanted <= kBytesAtRest) {
    capacity = kBytesAtRest;
  } else if (wanted > capacity && held * 2 > capacity) {
    capacity = std::min(std::max(wanted, kBytesAtRest), capacity * 4);
  }
  if (capacity != storage_.size()) {
    std::vector<std::byte> fresh(capacity);
    std::memcpy(fresh.data(), storage_.data() + begin_, held);
    ::explicit_bzero(storage_.data(), storage_.size());
    storage_ = std::move(fresh);
  } else if (begin_ > 0) {
    std::memmove(storage_.data(), storage_.data() + begin_, held);
    // what was moved must not stay readable where it was
    ::explicit_bzero(storage_.data() + held, std::min(begin_, end_ - held));
  }
  begin_ = 0;
  end_ = held;
}

Result<InBuffer::Received> InBuffer::receive(int socket, std::size_t wanted) {
  if (begin_ == end_) begin_ = end_ = 0;
  if (begin_ + wanted > storage_.size() || storage_.size() > kBytesAtRest) make_room(wanted);
  std::span<std::byte> room(storage_.data() + end_, storage_.size() - end_);
  if (wanted > kBytesAtRest) room = room.first(std::min(room.size(), wanted - (end_ - begin_)));
  const auto received = ipc::receive_with_fds(socket, room, fds_);
  if (!received) return received.error();
  if (fds_.size() > kPendingFdsMax) {
    return Error{.code = ErrorCode::kProtocolError,
                 .message = "more descriptors than the frames they came with announce"};
  }
  end_ += received->bytes;
  return Received{received->status, received->bytes == room.size()};
}

void InBuffer::rest() {
  begin_ = end_ = 0;
  if (storage_.size() > kBytesAtRest) make_room(0);
}

void InBuffer::consume(std::size_t n, bool wipe) noexcept {
  if (wipe) ::explicit_bzero(storage_.data() + begin_, n);
  begin_ += n;
}

std::vector<unique_fd> InBuffer::take_fds(std::size_t n) {
  n = std::min(n, fds_.size());
  const auto last = fds_.begin() + static_cast<std::ptrdiff_t>(n);
  std::vector<unique_fd> taken(std::make_move_iterator(fds_.begin()), std::make_move_iterator(last));
  fds_.erase(fds_.begin(), last);
  return taken;
}

}  // namespace quern::supervisor
