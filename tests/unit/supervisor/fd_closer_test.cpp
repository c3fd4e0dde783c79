#include "supervisor/fd_closer.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <utility>

namespace quern::supervisor {
namespace {

// Readable at its end of file once the other end is closed.
struct Pipe {
  Pipe() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) std::abort();
    out.reset(ends[0]);
    in.reset(ends[1]);
  }
  unique_fd out;
  unique_fd in;
};

void expect_closed(const Pipe& pipe) {
  char byte = 0;
  EXPECT_EQ(::read(pipe.out.get(), &byte, 1), 0);  // waits until then
}

TEST(FdCloser, ClosesWhatItIsGiven) {
  Pipe one;
  Pipe other;
  FdCloser closer;
  closer.close(std::move(one.in));
  expect_closed(one);
  std::vector<unique_fd> several;
  several.push_back(std::move(other.in));
  several.emplace_back();
  closer.close(several);
  EXPECT_TRUE(several.empty());
  expect_closed(other);
}

TEST(FdCloser, EndsOnlyWhenAllAreClosed) {
  std::vector<Pipe> pipes(50);
  {
    FdCloser closer;
    for (Pipe& pipe : pipes) closer.close(std::move(pipe.in));
  }
  for (const Pipe& pipe : pipes) {
    ASSERT_EQ(::fcntl(pipe.out.get(), F_SETFL, O_NONBLOCK), 0);
    expect_closed(pipe);
  }
}

}  // namespace
}  // namespace quern::supervisor
