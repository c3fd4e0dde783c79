#include "supervisor/in_buffer.h"

#include <string.h>

#include <algorithm>
#include <cstring>
#include <iterator>
#include <utility>

namespace quern::supervisor {

InBuffer::~InBuffer() { ::explicit_bzero(storage_.data(), storage_.size()); }

void InBuffer::move_to_front() noexcept {
  const std::size_t held = end_ - begin_;
  std::memmove(storage_.data(), storage_.data() + begin_, held);
  // what was moved must not stay readable where it was
  ::explicit_bzero(storage_.data() + held, std::min(begin_, end_ - held));
  begin_ = 0;
  end_ = held;
}

Result<InBuffer::Received> InBuffer::receive(int socket, std::size_t wanted) {
  if (begin_ == end_) begin_ = end_ = 0;
  if (begin_ + wanted > storage_.size()) move_to_front();
  const std::span<std::byte> room(storage_.data() + end_, storage_.size() - end_);
  const std::size_t fds_before = fds_.size();
  const auto received = ipc::receive_with_fds(socket, room, fds_);
  if (!received) return received.error();
  if (fds_.size() > kPendingFdsMax) {
    return Error{.code = ErrorCode::kProtocolError,
                 .message = "more descriptors than the frames they came with announce"};
  }
  end_ += received->bytes;
  return Received{received->status, received->bytes, received->bytes == room.size(), fds_.size() - fds_before};
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
