#include "supervisor/shared_buffers.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

#include "ipc/memfd.h"

namespace quern::supervisor {
namespace {

using wire::BufferAccess;
using wire::BufferOp;

constexpr std::uint64_t kPage = 4096;

Result<BufferRef> create(SharedBuffers& buffers, std::string_view name = {}, std::uint64_t bytes = kPage, uid_t uid = 1,
                         BufferAccess access = BufferAccess::kUser) {
  auto memfd = ipc::create_allocated_memfd("test", bytes);
  EXPECT_TRUE(memfd);
  return buffers.create({.op = BufferOp::kCreate, .access = access, .gid = 42, .name = name}, std::move(*memfd), uid,
                        0);
}

std::size_t count(const SharedBuffers& buffers) {
  std::size_t n = 0;
  buffers.for_each([&](const SharedBuffer&) { ++n; });
  return n;
}

TEST(SharedBuffersTest, LiveAsLongAsTheirLastOwner) {
  FdCloser closer;
  SharedBuffers buffers(closer, 1U << 20, 1U << 20);
  auto mine = create(buffers, "b");
  ASSERT_TRUE(mine);
  {
    auto theirs = buffers.attach("b", {.uid = 1});
    ASSERT_TRUE(theirs);
    EXPECT_EQ((*theirs)->clients, 2U);
    const BufferRef job = (*theirs)->clients > 0 ? theirs->for_job() : std::move(*theirs);
    EXPECT_EQ(job->jobs, 1U);
    *mine = std::move(*theirs);  // the first hold is let go
    EXPECT_EQ(job->clients, 1U);
  }
  EXPECT_EQ(count(buffers), 1U);
  EXPECT_EQ(buffers.bytes(), kPage);
  { const BufferRef last = std::move(*mine); }
  EXPECT_EQ(count(buffers), 0U);
  EXPECT_EQ(buffers.bytes(), 0U);
  EXPECT_TRUE(create(buffers, "b")) << "the name is free again";
}

TEST(SharedBuffersTest, AreAttachedByThoseWhomTheyAreFor) {
  FdCloser closer;
  SharedBuffers buffers(closer, 1U << 20, 1U << 20);
  const auto user = create(buffers, "user");
  const auto group = create(buffers, "group", kPage, 1, BufferAccess::kGroup);
  const auto all = create(buffers, "all", kPage, 1, BufferAccess::kEveryone);
  const auto nameless = create(buffers);
  const std::array<gid_t, 2> groups{7, 42};
  const auto may = [&](std::string_view name, const BufferPeer& peer) {
    return buffers.attach(name, peer).has_value();
  };
  EXPECT_TRUE(may("user", {.uid = 1}));
  EXPECT_TRUE(may("user", {.uid = 0})) << "root may";
  EXPECT_FALSE(may("user", {.uid = 2, .groups = groups}));
  EXPECT_TRUE(may("group", {.uid = 2, .groups = groups}));
  EXPECT_FALSE(may("group", {.uid = 2, .groups = std::span(groups).first(1)}));
  EXPECT_TRUE(may("group", {.uid = 1})) << "its creator's user may";
  EXPECT_TRUE(may("all", {.uid = 2}));
  EXPECT_FALSE(may("", {.uid = 1})) << "that one has no name";
  EXPECT_FALSE(may("other", {.uid = 1}));
}

TEST(SharedBuffersTest, AreBoundedByUserAndInAll) {
  FdCloser closer;
  SharedBuffers buffers(closer, 4 * kPage, 2 * kPage);
  const auto first = create(buffers, "", 2 * kPage, 1);
  ASSERT_TRUE(first);
  const auto refused = create(buffers, "", kPage, 1);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kTooLarge);
  EXPECT_THAT(refused.error().message, testing::HasSubstr("limits.shared_bytes_per_uid_max"));
  const auto second = create(buffers, "", 2 * kPage, 2);
  ASSERT_TRUE(second);
  EXPECT_THAT(create(buffers, "", kPage, 3).error().message, testing::HasSubstr("limits.shared_bytes_max"));
}

TEST(SharedBuffersTest, AreMemoryOfFixedSizeThatCanBeWritten) {
  FdCloser closer;
  SharedBuffers buffers(closer, 1U << 20, 1U << 20);
  const auto take = [&](unique_fd fd) { return buffers.create({.op = BufferOp::kCreate}, std::move(fd), 1, 0); };
  EXPECT_FALSE(take(unique_fd()));
  EXPECT_FALSE(take(unique_fd(::open("/dev/null", O_RDWR | O_CLOEXEC))));
  EXPECT_FALSE(take(*ipc::create_memfd("test", kPage))) << "not sealed";
  EXPECT_FALSE(take(*ipc::memfd_from("test", ipc::as_bytes("x")))) << "sealed against writing";
  EXPECT_FALSE(take(*ipc::create_allocated_memfd("test", 0))) << "empty";
  auto later = ipc::create_memfd("test", kPage);
  ASSERT_EQ(::fcntl(later->get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE), 0);
  EXPECT_FALSE(take(std::move(*later))) << "no worker could map it";
  EXPECT_EQ(count(buffers), 0U);
}

TEST(SharedBuffersTest, HaveNamesThatCanBeTyped) {
  FdCloser closer;
  SharedBuffers buffers(closer, 1U << 20, 1U << 20);
  for (const char* bad : {"a b", "a/b", "\n", "\xc3\xa9"}) {
    EXPECT_EQ(create(buffers, bad).error().field, "name") << bad;
  }
  EXPECT_FALSE(create(buffers, std::string(64, 'n')));
  const auto good = create(buffers, "A-z_0.9");
  EXPECT_TRUE(good);
  EXPECT_FALSE(create(buffers, "A-z_0.9")) << "taken";
}

}  // namespace
}  // namespace quern::supervisor
