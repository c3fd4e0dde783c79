#include "client/buffer.h"

#include <stdexcept>
#include <utility>

namespace quern::client {

Result<Buffer> Buffer::allocate(std::uint64_t bytes) {
  auto memfd = ipc::create_memfd("buffer", bytes);
  if (!memfd) return memfd.error();
  auto mapping = ipc::Mapping::map_allocated(memfd->get(), bytes);
  if (!mapping) return mapping.error();
  return Buffer(std::move(*memfd), std::move(*mapping));
}

Buffer::Buffer(Buffer&& other) noexcept
    : memfd_(std::move(other.memfd_)), mapping_(std::exchange(other.mapping_, {})) {}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  memfd_ = std::move(other.memfd_);
  mapping_ = std::exchange(other.mapping_, {});
  return *this;
}

std::span<std::byte> Buffer::bytes() const {
  if (spent()) throw std::logic_error("this buffer was handed over to a job; allocate another one");
  return mapping_.bytes();
}

Result<unique_fd> Buffer::hand_over() && {
  if (spent()) {
    return Error{.code = ErrorCode::kInvalidArgument,
                 .message = "this buffer was handed over before; allocate another one",
                 .field = "parts"};
  }
  unique_fd memfd = std::move(memfd_);
  mapping_ = {};  // a writable mapping would forbid the seal
  if (auto sealed = ipc::seal_contents(memfd.get()); !sealed) return sealed.error();
  return memfd;
}

}  // namespace quern::client
