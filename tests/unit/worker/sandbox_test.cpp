// What a worker can't do any more, tried from inside one.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>

#include "common/sanitizer.h"
#include "fake_supervisor.h"

namespace quern::test {
namespace {

class Sandbox : public ::testing::Test {
 protected:
  // The name of the errno, "allowed", or how the worker ended.
  std::string outcome_of(std::string_view call) {
    const auto worker = supervisor_.spawn();
    const auto answer =
        worker->run({.kind = supervisor_.kind("probe.call"), .params = "{\"name\":\"" + std::string(call) + "\"}"});
    if (answer) return answer->error ? to_string(*answer->error) : answer->parts.at(0).bytes;
    const int end = worker->wait_for_end();
    return end == -SIGSYS ? "killed" : "ended by " + std::to_string(end);
  }
  FakeSupervisor supervisor_;
};

TEST_F(Sandbox, ReachingOutIsDeadly) {
  for (const char* call : {"execve", "socket", "fork", "vfork", "system", "ptrace", "kill_parent", "kill_group",
                           "tgkill_parent", "io_uring"}) {
    EXPECT_EQ(outcome_of(call), "killed") << call;
  }
}

TEST_F(Sandbox, WhatIsNotNeededIsRefused) {
  if (kSanitized) GTEST_SKIP() << "sanitizers need more calls";
  for (const char* call : {"open", "mkdir", "unblock", "own", "outlive", "more_memory"}) {
    EXPECT_EQ(outcome_of(call), "EPERM") << call;
  }
  EXPECT_NE(outcome_of("thread"), "allowed");
}

TEST_F(Sandbox, SignalsToItselfAreAllowed) { EXPECT_EQ(outcome_of("kill_self"), "allowed"); }

TEST_F(Sandbox, LeavesNoRightsAndNoDescriptors) {
  const auto worker = supervisor_.spawn();
  const std::string left = worker->run({.kind = supervisor_.kind("probe.identity")})->parts.at(0).bytes;
  EXPECT_THAT(left, ::testing::HasSubstr("core 0 "));
  const std::string fds = left.substr(left.find("fds"));
  EXPECT_EQ(std::count(fds.begin(), fds.end(), ' '), 6) << "three standard ones, eventfd, control: " << left;
  const std::string user = ::getuid() == 0 ? "uid 65534 " : "uid " + std::to_string(::getuid());
  EXPECT_THAT(left, ::testing::HasSubstr(user)) << "root becomes nobody";
}

TEST(SandboxProcesses, AProgramMayBeStartedWhereThePoolSaysSo) {
  FakeSupervisor supervisor({QUERN_PROBE_MODULE}, {"--allow-processes"});
  const auto worker = supervisor.spawn();
  const auto outcome_of = [&](const std::string& call) {
    const auto answer = worker->run({.kind = supervisor.kind("probe.call"), .params = "{\"name\":\"" + call + "\"}"});
    return !answer ? "died" : answer->error ? to_string(*answer->error) : answer->parts.at(0).bytes;
  };
  for (const char* call : {"system", "open", "kill_self", "kill_group", "pair", "thread"}) {
    EXPECT_EQ(outcome_of(call), "allowed") << call;
  }
  for (const char* call : {"socket", "unix_socket", "ptrace", "kill_parent", "kill_all", "tgkill_parent", "io_uring",
                           "unshare", "parents_limit"}) {
    EXPECT_EQ(outcome_of(call), "EPERM") << call;
  }
  EXPECT_EQ(outcome_of("clone3"), "ENOSYS");
}

TEST(SandboxMemory, IsBoundedWhenThePoolSaysSo) {
  if (kSanitized) GTEST_SKIP() << "a sanitizer's allocator dies where operator new would throw";
  FakeSupervisor supervisor({QUERN_PROBE_MODULE}, {"--memory-bytes-max", "67108864"});
  const auto worker = supervisor.spawn();
  const auto kind = supervisor.kind("probe.allocate");
  EXPECT_EQ(worker->run({.kind = kind, .params = R"({"bytes":1000000})"})->parts.at(0).bytes, "1000000");
  const auto refused = worker->run({.kind = kind, .params = R"({"bytes":100000000})"});
  ASSERT_TRUE(refused && refused->error) << "the worker lives on";
  EXPECT_EQ(refused->error->code, ErrorCode::kOutOfMemory);
  EXPECT_EQ(worker->run({.kind = kind, .params = R"({"bytes":1000000})"})->parts.at(0).bytes, "1000000");
}

}  // namespace
}  // namespace quern::test
