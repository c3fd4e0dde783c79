// A worker asked where it is, and its template asked what that is called.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include "fake_supervisor.h"

namespace quern::test {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;

void ask(const FakeWorker& worker) { ASSERT_EQ(::kill(worker.pid(), ipc::stack_signal()), 0); }

TEST(Stack, OfARunningJobIsStoredAndTheJobGoesOn) {
  FakeSupervisor supervisor;
  const auto worker = supervisor.spawn();
  worker->submit({.kind = supervisor.kind("probe.wait")});
  ipc::ProgressView progress;
  while (!ipc::load_progress(worker->channel().header(), 0, progress)) ::usleep(100);
  ask(*worker);
  ipc::StackView stack;
  while (!ipc::load_stack(worker->channel().header(), 0, stack)) ::usleep(100);
  EXPECT_GT(stack.depth, 3U);
  EXPECT_THAT(supervisor.symbolize({stack.addresses.data(), stack.depth}), HasSubstr("probe.so+0x"));
  worker->channel().header().cancel.store(1);
  EXPECT_EQ(worker->answer()->error->code, ErrorCode::kCancelled);
}

TEST(Stack, BetweenJobsIsNotStored) {
  FakeSupervisor supervisor;
  const auto worker = supervisor.spawn();
  for (int i = 0; i < 50; ++i) ask(*worker);  // from its first moment on
  EXPECT_TRUE(worker->run({.kind = supervisor.kind("probe.about")}));
  ask(*worker);
  EXPECT_TRUE(worker->run({.kind = supervisor.kind("probe.about")}));
  ipc::StackView stack;
  EXPECT_FALSE(ipc::load_stack(worker->channel().header(), 7, stack));
}

TEST(Symbols, NameExportedFunctionsAndCountTheRest) {
  FakeSupervisor supervisor;
  // the C library is where it is here only by chance, so: addresses that mean nothing
  const std::vector<std::uint64_t> nowhere{0, 1, UINT64_MAX};
  EXPECT_EQ(supervisor.symbolize(nowhere), "0x0\n0x1\n0xffffffffffffffff\n");
  EXPECT_EQ(supervisor.symbolize({}), "");
  EXPECT_EQ(supervisor.symbolize(std::vector<std::uint64_t>(1000, 0)).size(), 64U * 4) << "at most 64 are named";
}

}  // namespace
}  // namespace quern::test
