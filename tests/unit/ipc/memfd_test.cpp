#include "ipc/memfd.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

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
