#include "supervisor/shared_buffers.h"

#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <random>

#include "common/sizes.h"

namespace quern::supervisor {
namespace {

Error wrong(std::string_view field, std::string message) {
  return Error{.code = ErrorCode::kInvalidArgument, .message = std::move(message), .field = std::string(field)};
}

// The size of a memfd that nobody can shrink under a worker that has it mapped.
Result<std::uint64_t> shareable_size(int fd) {
  constexpr int kNeeded = F_SEAL_SHRINK | F_SEAL_GROW;
  constexpr int kForbidden = F_SEAL_WRITE | F_SEAL_FUTURE_WRITE;
  const int seals = ::fcntl(fd, F_GET_SEALS);  // asks no file system
  if (seals < 0 || (seals & kNeeded) != kNeeded || (seals & kForbidden) != 0) {
    return wrong("buffer",
                 "a shared buffer must be a memfd sealed with F_SEAL_SHRINK and F_SEAL_GROW, and not against writing");
  }
  if ((::fcntl(fd, F_GETFL) & O_ACCMODE) != O_RDWR) {
    return wrong("buffer", "a shared buffer's descriptor must be open for reading and writing");
  }
  struct stat info {};
  if (::fstat(fd, &info) != 0) return system_error("fstat", "shared buffer", errno);
  if (info.st_size <= 0) return wrong("buffer", "a shared buffer has at least 1 byte");
  return static_cast<std::uint64_t>(info.st_size);
}

bool good_name(std::string_view name) {
  const auto ok = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
           c == '-';
  };
  return name.size() <= wire::kBufferNameBytesMax && std::ranges::all_of(name, ok);
}

bool may_attach(const SharedBuffer& buffer, const BufferPeer& peer) {
  if (peer.uid == 0 || peer.uid == buffer.uid || buffer.access == wire::BufferAccess::kEveryone) return true;
  return buffer.access == wire::BufferAccess::kGroup && std::ranges::find(peer.groups, buffer.gid) != peer.groups.end();
}

}  // namespace

// ---- BufferRef -------------------------------------------------------------------------------------

BufferRef::BufferRef(SharedBuffers& buffers, SharedBuffer& buffer, Owner owner) noexcept
    : buffers_(&buffers), buffer_(&buffer), owner_(owner) {
  ++(owner_ == Owner::kClient ? buffer_->clients : buffer_->jobs);
}

BufferRef& BufferRef::operator=(BufferRef&& other) noexcept {
  if (this == &other) return *this;
  let_go();
  buffers_ = std::exchange(other.buffers_, nullptr);
  buffer_ = other.buffer_;
  owner_ = other.owner_;
  return *this;
}

void BufferRef::let_go() noexcept {
  if (buffers_ == nullptr) return;
  --(owner_ == Owner::kClient ? buffer_->clients : buffer_->jobs);
  if (buffer_->clients == 0 && buffer_->jobs == 0) buffers_->free(*buffer_);
  buffers_ = nullptr;
}

// ---- SharedBuffers ---------------------------------------------------------------------------------

SharedBuffers::SharedBuffers(FdCloser& closer, std::uint64_t bytes_max, std::uint64_t uid_bytes_max)
    : closer_(closer), bytes_max_(bytes_max), uid_bytes_max_(uid_bytes_max) {
  std::random_device random;
  // 48 bits: room above, and short enough to be read aloud
  next_id_ = (static_cast<std::uint64_t>(random()) << 16U ^ random()) & 0xffff'ffff'ffffU;
}

Result<void> SharedBuffers::check_name(std::string_view name) const {
  if (!good_name(name)) {
    return wrong("name", "a shared buffer's name has at most 63 letters, digits, '.', '_' and '-'");
  }
  if (!name.empty() && names_.contains(name)) {
    return wrong("name", fmt::format("there is a shared buffer '{}' already; attach it, or choose another name", name));
  }
  return {};
}

Result<void> SharedBuffers::check_size(std::uint64_t bytes, uid_t uid) const {
  std::uint64_t of_uid = 0;
  for (const auto& [id, buffer] : all_) of_uid += buffer.uid == uid ? buffer.bytes : 0;
  const bool uid_limit = bytes > uid_bytes_max_ - std::min(of_uid, uid_bytes_max_);
  if (!uid_limit && bytes <= bytes_max_ - bytes_) return {};
  return Error{.code = ErrorCode::kTooLarge,
               .message = uid_limit
                              ? fmt::format("a shared buffer of {} beside {} that user {} has already; {} are "
                                            "allowed (limits.shared_bytes_per_uid_max)",
                                            format_size(bytes), format_size(of_uid), uid, format_size(uid_bytes_max_))
                              : fmt::format("a shared buffer of {} beside all others' {}; {} are allowed "
                                            "(limits.shared_bytes_max)",
                                            format_size(bytes), format_size(bytes_), format_size(bytes_max_)),
               .field = "buffer"};
}

Result<BufferRef> SharedBuffers::create(const wire::BufferRequest& request, unique_fd memfd, uid_t uid,
                                        std::int64_t now_ns, Charge charge) {
  if (auto checked = check_name(request.name); !checked) return checked.error();
  const auto bytes = shareable_size(memfd.get());
  if (!bytes) return bytes.error();
  if (auto checked = check_size(*bytes, uid); !checked) return checked.error();
  const std::uint64_t id = ++next_id_;
  SharedBuffer& buffer = all_[id];
  buffer = {.id = id,
            .name = std::string(request.name),
            .bytes = *bytes,
            .uid = uid,
            .access = request.access,
            .gid = request.gid,
            .created_ns = now_ns,
            .memfd = std::move(memfd),
            .charge = std::move(charge)};
  buffer.charge.add({.buffer_bytes = buffer.bytes});
  bytes_ += buffer.bytes;
  if (!buffer.name.empty()) names_.emplace(buffer.name, id);
  return BufferRef(*this, buffer, BufferRef::Owner::kClient);
}

Result<BufferRef> SharedBuffers::attach(std::string_view name, const BufferPeer& peer) {
  const auto at = names_.find(name);
  SharedBuffer* buffer = at == names_.end() ? nullptr : &all_.at(at->second);
  if (buffer == nullptr || !may_attach(*buffer, peer)) {
    return Error{.code = ErrorCode::kNotFound,
                 .message = fmt::format("there is no shared buffer '{}' that user {} may attach; it is freed with its "
                                        "last owner",
                                        good_name(name) ? name : "?", peer.uid),
                 .field = "name"};
  }
  return BufferRef(*this, *buffer, BufferRef::Owner::kClient);
}

void SharedBuffers::free(SharedBuffer& buffer) noexcept {
  closer_.close(std::move(buffer.memfd));
  bytes_ -= buffer.bytes;
  if (!buffer.name.empty()) names_.erase(buffer.name);
  all_.erase(buffer.id);
}

}  // namespace quern::supervisor
