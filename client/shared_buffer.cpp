#include "client/shared_buffer.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <limits>

#include "client/client.h"
#include "client/connection.h"

namespace quern::client {
namespace {

std::vector<std::byte> encode(const wire::BufferRequest& request) {
  std::vector<std::byte> body;
  wire::ByteWriter writer(body);
  wire::encode_buffer_request(writer, request);
  return body;
}

Result<void> check(std::string_view name, std::uint64_t bytes) {
  const auto wrong = [](std::string_view field, std::string_view message) {
    return Error{.code = ErrorCode::kInvalidArgument, .message = std::string(message), .field = std::string(field)};
  };
  if (name.size() > wire::kBufferNameBytesMax) return wrong("name", "a shared buffer's name has at most 63 bytes");
  if (bytes == 0 || bytes > static_cast<std::uint64_t>(std::numeric_limits<off_t>::max())) {
    return wrong("bytes", "a shared buffer has at least 1 byte");
  }
  return {};
}

Error mistrusted() {
  return Error{.code = ErrorCode::kProtocolError,
               .message = "the server's shared buffer can't be trusted: no memfd sealed in size, of the size it said"};
}

// Nobody may cut it while we have it mapped.
bool has_fixed_size(int fd, std::uint64_t bytes) {
  const int seals = ::fcntl(fd, F_GET_SEALS);
  struct stat info {};
  return seals >= 0 && (seals & F_SEAL_SHRINK) != 0 && ::fstat(fd, &info) == 0 &&
         static_cast<std::uint64_t>(info.st_size) == bytes;
}

}  // namespace

SharedBuffer& SharedBuffer::operator=(SharedBuffer&& other) noexcept {
  if (this == &other) return *this;
  release();
  client_ = std::exchange(other.client_, nullptr);
  id_ = other.id_;
  memfd_ = std::move(other.memfd_);
  mapping_ = std::exchange(other.mapping_, {});
  return *this;
}

void SharedBuffer::release() noexcept {
  if (client_ != nullptr) client_->release_shared(id_);
  client_ = nullptr;
}

void Client::release_shared(std::uint64_t id) { connection_->release(id); }

Result<SharedBuffer> Client::create_shared(const SharedBufferOptions& options) {
  if (auto checked = check(options.name, options.bytes); !checked) return checked.error();
  auto memfd = ipc::create_memfd("shared", options.bytes);
  if (!memfd) return memfd.error();
  auto mapping = ipc::Mapping::map_allocated(memfd->get(), options.bytes);
  if (!mapping) return mapping.error();
  if (auto sealed = ipc::seal_size(memfd->get()); !sealed) return sealed.error();
  auto copy = std::make_shared<unique_fd>(::fcntl(memfd->get(), F_DUPFD_CLOEXEC, 0));
  if (!*copy) return system_error("fcntl(F_DUPFD_CLOEXEC)", "shared buffer", errno);
  const auto reply = ask(
      {.type = wire::FrameType::kBuffer,
       .body =
           encode({.op = wire::BufferOp::kCreate, .access = options.access, .gid = options.gid, .name = options.name}),
       .fds = {std::move(copy)}},
      std::chrono::milliseconds(0));
  if (!reply) return reply.error();
  const auto attached = wire::decode_attached(std::as_bytes(std::span(reply->body)));
  if (!attached) return attached.error();
  return SharedBuffer(*this, attached->id, std::move(*memfd), std::move(*mapping));
}

Result<SharedBuffer> Client::attach_shared(std::string_view name) {
  if (auto checked = check(name, 1); !checked) return checked.error();
  auto reply = ask({.type = wire::FrameType::kBuffer, .body = encode({.op = wire::BufferOp::kAttach, .name = name})},
                   std::chrono::milliseconds(0));
  if (!reply) return reply.error();
  const auto attached = wire::decode_attached(std::as_bytes(std::span(reply->body)));
  if (!attached) return attached.error();
  if (reply->fds.size() != 1 || !has_fixed_size(reply->fds.front().get(), attached->bytes)) return mistrusted();
  unique_fd memfd = std::move(reply->fds.front());
  auto mapping = ipc::Mapping::map(memfd.get(), attached->bytes, ipc::Access::kReadWrite);
  if (!mapping) return mapping.error();
  return SharedBuffer(*this, attached->id, std::move(memfd), std::move(*mapping));
}

}  // namespace quern::client
