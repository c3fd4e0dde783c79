#include "client/incoming.h"

#include <fmt/format.h>

#include <cstring>
#include <iterator>

namespace quern::client {
namespace {

constexpr std::size_t kBytesAtRest = 256U << 10;
constexpr std::size_t kBytesKept = 4U << 20;  // a larger buffer is given back once it is empty

Error broken(std::string message) { return Error{.code = ErrorCode::kProtocolError, .message = std::move(message)}; }

}  // namespace

Incoming::Incoming() : storage_(kBytesAtRest) {}

Result<Incoming::Received> Incoming::receive(int socket) {
  const std::size_t held = end_ - begin_;
  if (held == 0 && storage_.size() > kBytesKept && wanted_ <= kBytesAtRest)
    storage_ = std::vector<std::byte>(kBytesAtRest);
  if (begin_ > 0 && (held == 0 || begin_ + wanted_ > storage_.size())) {
    std::memmove(storage_.data(), storage_.data() + begin_, held);
    begin_ = 0;
    end_ = held;
  }
  if (wanted_ > storage_.size()) storage_.resize(wanted_);
  const std::span<std::byte> room(storage_.data() + end_, storage_.size() - end_);
  const auto received = ipc::receive_with_fds(socket, room, fds_);
  if (!received) return received.error();
  end_ += received->bytes;
  return Received{received->status, received->bytes == room.size()};
}

Result<std::optional<Incoming::Frame>> Incoming::next() {
  const ipc::ByteSpan bytes(storage_.data() + begin_, end_ - begin_);
  wanted_ = wire::kHeaderBytes;
  if (bytes.size() < wire::kHeaderBytes) return std::optional<Frame>();
  Frame frame{.header = wire::decode_header(bytes)};
  if (frame.header.body_bytes > kFrameBytesMax) {
    return broken(fmt::format("the server sent a frame of {} bytes", frame.header.body_bytes));
  }
  wanted_ += frame.header.body_bytes;
  if (bytes.size() < wanted_) return std::optional<Frame>();
  if (frame.header.fd_count > fds_.size())
    return broken("the server sent a frame without the descriptors it announces");
  if (frame.header.fd_count > 0) {
    const auto last = fds_.begin() + frame.header.fd_count;
    frame.fds.assign(std::make_move_iterator(fds_.begin()), std::make_move_iterator(last));
    fds_.erase(fds_.begin(), last);
  }
  frame.body = bytes.subspan(wire::kHeaderBytes, frame.header.body_bytes);
  begin_ += wanted_;
  wanted_ = wire::kHeaderBytes;
  return std::optional<Frame>(std::move(frame));
}

void Incoming::clear() noexcept {
  begin_ = end_ = 0;
  wanted_ = wire::kHeaderBytes;
  fds_.clear();
}

}  // namespace quern::client
