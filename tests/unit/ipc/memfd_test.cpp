#include "ipc/memfd.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <sstream>
#include <vector>

namespace quern::ipc {
namespace {

TEST(Memfd, HoldsACopyThatNobodyCanChange) {
  const auto fd = memfd_from("test", as_bytes("grain"));
  ASSERT_TRUE(fd);
  EXPECT_EQ(*sealed_size(fd->get()), 5U);
  EXPECT_LT(::write(fd->get(), "x", 1), 0);
  EXPECT_NE(::ftruncate(fd->get(), 0), 0);
  const auto mapping = Mapping::map(fd->get(), 5, Access::kReadOnly);
  ASSERT_TRUE(mapping);
  EXPECT_EQ(as_text(mapping->bytes()), "grain");
}

TEST(Memfd, AnEmptyOneMapsToNothing) {
  const auto fd = memfd_from("test", {});
  ASSERT_TRUE(fd);
  const auto mapping = Mapping::map(fd->get(), 0, Access::kReadOnly);
  ASSERT_TRUE(mapping);
  EXPECT_EQ(mapping->size(), 0U);
}

// The kernel says so in /proc/PID/smaps, in kB of the mapping that begins at `address`.
std::uint64_t resident_kb(const void* address) {
  std::ifstream smaps("/proc/self/smaps");
  std::ostringstream begin;
  begin << std::hex << reinterpret_cast<std::uintptr_t>(address) << '-';
  std::string line;
  while (std::getline(smaps, line) && !line.starts_with(begin.str())) {
  }
  while (std::getline(smaps, line) && !line.starts_with("Rss:")) {
  }
  return line.empty() ? 0 : std::stoull(line.substr(4));
}

TEST(Memfd, IsAllocatedBeforeItIsUsed) {
  for (const std::size_t bytes : {std::size_t{4096}, std::size_t{1} << 20, kHugeBytesMin, kHugeBytesMin + 4096}) {
    const auto fd = create_memfd("test", bytes);
    ASSERT_TRUE(fd);
    const auto mapping = Mapping::map_allocated(fd->get(), bytes);
    ASSERT_TRUE(mapping) << to_string(mapping.error());
    EXPECT_EQ(mapping->size(), bytes);
    struct stat info {};
    ASSERT_EQ(::fstat(fd->get(), &info), 0);
    EXPECT_GE(static_cast<std::size_t>(info.st_blocks) * 512, bytes);
    EXPECT_GE(resident_kb(mapping->data()) * 1024, bytes) << "and mapped, so that filling it faults no more";
    EXPECT_EQ(std::ranges::count(mapping->bytes(), std::byte{0}), static_cast<std::ptrdiff_t>(bytes));
  }
}

TEST(Memfd, WhatAPeerCouldChangeIsRefused) {
  const auto unsealed = create_memfd("test", 4096);
  ASSERT_TRUE(unsealed);
  EXPECT_EQ(sealed_size(unsealed->get()).error().code, ErrorCode::kInvalidArgument);
  const unique_fd directory(::open("/", O_RDONLY | O_CLOEXEC));
  EXPECT_FALSE(sealed_size(directory.get()));
  const unique_fd device(::open("/dev/zero", O_RDONLY | O_CLOEXEC));
  EXPECT_FALSE(sealed_size(device.get()));
  int ends[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  const unique_fd a(ends[0]);
  const unique_fd b(ends[1]);
  EXPECT_FALSE(sealed_size(a.get()));
}

}  // namespace
}  // namespace quern::ipc
