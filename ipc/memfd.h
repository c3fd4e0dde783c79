// Anonymous shared memory: sealed memfds and their mappings.
//
// A payload or result that is too large for a channel's arena travels as a memfd sealed against
// shrinking, growing and writing (memfd_create(2), fcntl(2) F_ADD_SEALS): after the seals are on,
// neither side can change the bytes under the other, and no truncation can turn a read into SIGBUS.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include <boost/interprocess/mapped_region.hpp>

#include "common/error.h"
#include "common/unique_fd.h"
#include "ipc/bytes.h"

namespace quern::ipc {

// A new memfd of `bytes` bytes, close-on-exec, sealable.
[[nodiscard]] Result<unique_fd> create_memfd(std::string_view debug_name, std::uint64_t bytes);

// A new memfd with every page allocated and the size sealed (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL); it
// stays writable.
[[nodiscard]] Result<unique_fd> create_allocated_memfd(std::string_view debug_name, std::uint64_t bytes);

// Seals the size for ever; the contents stay writable.
[[nodiscard]] Result<void> seal_size(int fd);

// Seals size and contents for ever. Fails while a writable shared mapping of it exists.
[[nodiscard]] Result<void> seal_contents(int fd);

// The size of a descriptor from a peer that is not trusted: a memfd whose size and contents are
// sealed. Anything else (a file, a socket, an unsealed memfd) is kInvalidArgument saying what to do.
[[nodiscard]] Result<std::uint64_t> sealed_size(int fd);

// Whether `fd` is such a memfd. Asks no file system, so one that hangs can't hold the caller.
[[nodiscard]] bool is_sealed(int fd) noexcept;

// A new sealed memfd holding a copy of `bytes`.
[[nodiscard]] Result<unique_fd> memfd_from(std::string_view debug_name, ByteSpan bytes);

enum class Access { kReadOnly, kReadWrite };

// Asks for huge pages (madvise(2), MADV_HUGEPAGE) in memory that is worth some: from kHugeBytesMin on. The machine
// lends them to memfds when /sys/kernel/mm/transparent_hugepage/shmem_enabled is `advise`; elsewhere nothing
// happens. At 100 MiB on a 2-core EPYC: filled in 7 ms instead of 84, looked at by another process in 0.5 instead of
// 11, freed in 0.2 instead of 12 (bench_buffers shows the difference).
inline constexpr std::size_t kHugeBytesMin = 4U << 20;  // at most a third of it is wasted
void advise_huge_pages(std::span<std::byte> memory) noexcept;

// A mapping of a whole descriptor. Movable, unmapped on destruction; empty when the size is 0.
class Mapping {
 public:
  Mapping() = default;
  [[nodiscard]] static Result<Mapping> map(int fd, std::uint64_t bytes, Access access);
  // A memfd of `bytes` bytes that is still empty, mapped for writing, with every page allocated now: so a full
  // machine is kOutOfMemory here, not a SIGBUS later. Huge pages where they are to be had.
  [[nodiscard]] static Result<Mapping> map_allocated(int fd, std::uint64_t bytes);
  [[nodiscard]] std::byte* data() const noexcept { return static_cast<std::byte*>(region_.get_address()); }
  [[nodiscard]] std::size_t size() const noexcept { return region_.get_size(); }
  [[nodiscard]] std::span<std::byte> bytes() const noexcept { return {data(), size()}; }

 private:
  boost::interprocess::mapped_region region_;
};

}  // namespace quern::ipc
