#include "supervisor/fd_closer.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <thread>
#include <vector>

#include "ipc/memfd.h"

namespace quern::supervisor {
namespace {

bool is_open(int fd) { return ::fcntl(fd, F_GETFD) >= 0; }

TEST(FdCloser, ClosesSmallMemoryAtOnce) {
  FdCloser closer;
  auto memfd = ipc::create_memfd("test", 4096);
  const int number = memfd->get();
  closer.close(std::move(*memfd), 1);
  EXPECT_FALSE(is_open(number));
  closer.close(unique_fd(), 1);
  EXPECT_EQ(closer.pending(1), 0U);
}

TEST(FdCloser, ClosesEverythingElseSoon) {
  FdCloser closer;
  std::array<int, 2> pipe{};
  ASSERT_EQ(::pipe2(pipe.data(), O_CLOEXEC), 0);
  const unique_fd reading(pipe[0]);
  closer.close(unique_fd(pipe[1]), 7);
  char byte = 0;
  EXPECT_EQ(::read(reading.get(), &byte, 1), 0) << "the end of the pipe: its writer is closed";
  while (closer.pending(7) > 0) std::this_thread::yield();
  auto memfd = ipc::create_memfd("test", FdCloser::kQuickBytes);
  const int number = memfd->get();
  closer.close(std::move(*memfd), 7);
  while (is_open(number)) std::this_thread::yield();
  EXPECT_EQ(closer.pending(7), 0U) << "memory can't hang, and counts for nobody";
}

TEST(FdCloser, ManyOfManyUsersAreAllClosed) {
  std::array<int, 2> pipe{};
  ASSERT_EQ(::pipe2(pipe.data(), O_CLOEXEC), 0);
  const unique_fd reading(pipe[0]);
  unique_fd writing(pipe[1]);
  {
    FdCloser closer;
    for (uid_t uid = 0; uid < 8; ++uid) {
      for (int i = 0; i < 50; ++i) closer.close(unique_fd(::fcntl(writing.get(), F_DUPFD_CLOEXEC, 0)), uid);
    }
  }  // its threads go on
  writing.reset();
  char byte = 0;
  EXPECT_EQ(::read(reading.get(), &byte, 1), 0) << "the last of 401 writers is closed";
}

TEST(ForeignFd, IsClosedByTheCloser) {
  FdCloser closer;
  std::array<int, 2> pipe{};
  ASSERT_EQ(::pipe2(pipe.data(), O_CLOEXEC), 0);
  const unique_fd reading(pipe[0]);
  char byte = 0;
  {
    ForeignFd first(unique_fd(pipe[1]), closer, 3);
    ForeignFd second = std::move(first);
    EXPECT_FALSE(first.valid());
    EXPECT_TRUE(second.valid());
    second = ForeignFd();
  }
  EXPECT_EQ(::read(reading.get(), &byte, 1), 0);
}

}  // namespace
}  // namespace quern::supervisor
