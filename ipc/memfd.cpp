#include "ipc/memfd.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/interprocess/exceptions.hpp>
#include <string>

namespace quern::ipc {
namespace {

// What Boost.Interprocess calls a memory mappable: anything with a mapping handle.
struct BorrowedMappable {
  int fd;
  [[nodiscard]] boost::interprocess::mapping_handle_t get_mapping_handle() const noexcept { return {fd, false}; }
};

Result<void> allocate_pages(int fd, std::uint64_t bytes) {
  if (bytes == 0) return {};
  int status = 0;
  do {
    status = ::fallocate(fd, 0, 0, static_cast<off_t>(bytes));
  } while (status != 0 && errno == EINTR);
  if (status == 0) return {};
  Error error = system_error("fallocate", "memfd", errno);
  if (errno == ENOSPC || errno == ENOMEM || errno == EFBIG) error.code = ErrorCode::kOutOfMemory;
  return error;
}

}  // namespace

Result<unique_fd> create_memfd(std::string_view debug_name, std::uint64_t bytes) {
  const std::string label = "quern-" + std::string(debug_name);
  unique_fd fd(::memfd_create(label.c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd) return system_error("memfd_create", label, errno);
  if (bytes > 0 && ::ftruncate(fd.get(), static_cast<off_t>(bytes)) != 0)
    return system_error("ftruncate", label, errno);
  return fd;
}

Result<unique_fd> create_allocated_memfd(std::string_view debug_name, std::uint64_t bytes) {
  auto fd = create_memfd(debug_name, bytes);
  if (!fd) return fd;
  if (auto allocated = allocate_pages(fd->get(), bytes); !allocated) return allocated.error();
  if (auto sealed = seal_size(fd->get()); !sealed) return sealed.error();
  return fd;
}

Result<void> seal_size(int fd) {
  if (::fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    return system_error("fcntl(F_ADD_SEALS)", "memfd", errno);
  }
  return {};
}

Result<void> seal_contents(int fd) {
  if (::fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) != 0) {
    return system_error("fcntl(F_ADD_SEALS)", "memfd", errno);
  }
  return {};
}

bool is_sealed(int fd) noexcept {
  constexpr int kNeeded = F_SEAL_SHRINK | F_SEAL_WRITE;
  const int seals = ::fcntl(fd, F_GET_SEALS);
  return seals >= 0 && (seals & kNeeded) == kNeeded;
}

Result<std::uint64_t> sealed_size(int fd) {
  if (!is_sealed(fd)) {
    return Error{.code = ErrorCode::kInvalidArgument,
                 .message =
                     "a passed descriptor must be a memfd sealed with F_SEAL_SHRINK and F_SEAL_WRITE; "
                     "send other files' bytes inline, or copy them into a sealed memfd",
                 .field = "parts"};
  }
  struct stat info {};
  if (::fstat(fd, &info) != 0) return system_error("fstat", "memfd", errno);
  return static_cast<std::uint64_t>(info.st_size);
}

Result<unique_fd> memfd_from(std::string_view debug_name, ByteSpan bytes) {
  auto fd = create_memfd(debug_name, 0);
  if (!fd) return fd;
  ByteSpan rest = bytes;
  while (!rest.empty()) {
    const ssize_t written = ::write(fd->get(), rest.data(), rest.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return system_error("write", debug_name, errno);
    rest = rest.subspan(static_cast<std::size_t>(written));
  }
  if (auto sealed = seal_contents(fd->get()); !sealed) return sealed.error();
  return fd;
}

Result<Mapping> Mapping::map(int fd, std::uint64_t bytes, Access access) {
  Mapping mapping;
  if (bytes == 0) return mapping;
  try {
    const auto mode = access == Access::kReadOnly ? boost::interprocess::read_only : boost::interprocess::read_write;
    mapping.region_ =
        boost::interprocess::mapped_region(BorrowedMappable{fd}, mode, 0, static_cast<std::size_t>(bytes));
  } catch (const boost::interprocess::interprocess_exception& failure) {
    return system_error("mmap", "memfd", failure.get_native_error());
  }
  return mapping;
}

void advise_huge_pages(std::span<std::byte> memory) noexcept {
  if (memory.size() >= kHugeBytesMin) (void)::madvise(memory.data(), memory.size(), MADV_HUGEPAGE);
}

// Through the mapping: fallocate(2) takes huge pages only where nobody has to ask for them.
Result<Mapping> Mapping::map_allocated(int fd, std::uint64_t bytes) {
  auto mapping = map(fd, bytes, Access::kReadWrite);
  if (!mapping || bytes == 0) return mapping;
  advise_huge_pages(mapping->bytes());
  int status = 0;
  do {
    status = ::madvise(mapping->data(), mapping->size(), MADV_POPULATE_WRITE);
  } while (status != 0 && errno == EINTR);
  if (status == 0) return mapping;
  if (errno == EINVAL) {  // before Linux 5.14
    if (auto allocated = allocate_pages(fd, bytes); !allocated) return allocated.error();
    return mapping;
  }
  Error error = system_error("madvise(MADV_POPULATE_WRITE)", "memfd", errno);
  error.code = ErrorCode::kOutOfMemory;  // EFAULT: what would be a SIGBUS
  return error;
}

}  // namespace quern::ipc
