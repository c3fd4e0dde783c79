#include "client/payload.h"

#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <utility>

namespace quern::client {
namespace {

Error unreadable(int error) {
  Error failure = system_error("read", "an input", error);
  failure.code = ErrorCode::kInvalidArgument;
  failure.field = "parts";
  return failure;
}

Result<void> write_all(int memfd, ipc::ByteSpan bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(memfd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return system_error("write", "memfd", errno);
    bytes = bytes.subspan(static_cast<std::size_t>(n));
  }
  return {};
}

// By read and write, where sendfile can't: a terminal. True at the end of the file.
Result<bool> pour_some(int file, int memfd) {
  std::array<std::byte, 64 * 1024> some;
  const ssize_t got = ::read(file, some.data(), some.size());
  if (got < 0 && errno == EINTR) return false;
  if (got < 0) return unreadable(errno);
  auto written = write_all(memfd, std::span(some).first(static_cast<std::size_t>(got)));
  return written ? Result<bool>(got == 0) : Result<bool>(written.error());
}

Result<void> pour(int file, int memfd) {
  constexpr std::size_t kAtOnce = 1U << 30;
  for (;;) {
    const ssize_t sent = ::sendfile(memfd, file, nullptr, kAtOnce);
    if (sent == 0) return {};
    if (sent > 0 || errno == EINTR) continue;
    if (errno != EINVAL && errno != ENOSYS) return unreadable(errno);
    const auto ended = pour_some(file, memfd);
    if (!ended) return ended.error();
    if (*ended) return {};
  }
}

// Makes an unsealed memfd a sealed one. False: it is no memfd, or somebody can write to it for ever.
bool sealed_now(int fd) noexcept {
  return ::fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) == 0;
}

// What can be read to its end without waiting for anybody.
Result<void> check_regular(int fd) {
  struct stat info {};
  if (::fstat(fd, &info) != 0) return unreadable(errno);
  if (S_ISREG(info.st_mode)) return {};
  return Error{.code = ErrorCode::kInvalidArgument,
               .message =
                   "a part must be a regular file or a memfd; read a pipe, a socket or a device yourself and "
                   "hand over a Buffer",
               .field = "parts"};
}

}  // namespace

Result<unique_fd> read_to_memfd(int file, ipc::ByteSpan begun) {
  auto memfd = ipc::create_memfd("input", 0);
  if (!memfd) return memfd;
  if (auto written = write_all(memfd->get(), begun); !written) return written.error();
  if (auto poured = pour(file, memfd->get()); !poured) return poured.error();
  if (auto sealed = ipc::seal_contents(memfd->get()); !sealed) return sealed.error();
  return memfd;
}

Part Part::of(Result<unique_fd> memfd, std::string name, std::uint64_t copied_bytes) {
  Part part;
  part.name_ = std::move(name);
  if (memfd) {
    part.fd_ = std::make_shared<unique_fd>(std::move(*memfd));
    part.copied_bytes_ = copied_bytes;
  } else {
    part.error_ = std::make_shared<Error>(memfd.error());
  }
  return part;
}

Part Part::copy(std::span<const std::byte> bytes, std::string name) {
  if (bytes.size() > kInlineBytesMax) return of(ipc::memfd_from("input", bytes), std::move(name), bytes.size());
  Part part;
  part.name_ = std::move(name);
  part.bytes_.assign(bytes.begin(), bytes.end());
  part.copied_bytes_ = bytes.size();
  return part;
}

Part Part::transfer(Buffer&& buffer, std::string name) { return of(std::move(buffer).hand_over(), std::move(name), 0); }

Part Part::sealed(unique_fd memfd, std::string name) { return of(std::move(memfd), std::move(name), 0); }

Part Part::file(unique_fd file, std::string name) {
  if (ipc::is_sealed(file.get()) || sealed_now(file.get())) return of(std::move(file), std::move(name), 0);
  if (auto regular = check_regular(file.get()); !regular) return of(regular.error(), std::move(name), 0);
  if (::lseek(file.get(), 0, SEEK_SET) != 0) return of(unreadable(errno), std::move(name), 0);
  auto memfd = read_to_memfd(file.get());
  const auto bytes = memfd ? ipc::sealed_size(memfd->get()) : Result<std::uint64_t>(0);
  return of(std::move(memfd), std::move(name), bytes ? *bytes : 0);
}

Part ResultPart::hand_on() && {
  if (fd_) {
    mapping_ = {};
    return Part::sealed(std::move(fd_), std::move(name_));
  }
  return Part::copy(inline_, std::move(name_));
}

}  // namespace quern::client
