// Jobs that start programs: nothing that a worker has started outlives it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>

#include "supervisor/process_tree.h"
#include "tests/integration/server.h"

namespace quern::test {
namespace {

constexpr std::size_t kChildren = 3;

class ProcessTrees : public ::testing::TestWithParam<const char*> {
 protected:
  // Submits the job and waits until its children are there.
  std::future<Result<client::JobResult>> grow(client::Client& client, std::uint32_t run_timeout_ms) {
    const auto before = descendants_of_server();
    client::Job job{.kind = "debug.fork", .params_json = GetParam()};
    job.options.run_timeout_ms = run_timeout_ms;
    job.options.attempts = 1;
    auto answer = client.submit(std::move(job));
    EXPECT_TRUE(eventually([&] {
      started_ = descendants_of_server();
      std::erase_if(started_, [&](pid_t pid) { return std::ranges::count(before, pid) > 0; });
      return started_.size() == kChildren;
    }));
    return answer;
  }
  [[nodiscard]] std::vector<pid_t> descendants_of_server() const {
    std::vector<pid_t> pids;
    for (const auto& process : supervisor::descendants(supervisor::ProcFs().list(), server_.pid())) {
      if (process.state != 'Z') pids.push_back(process.pid);
    }
    return pids;
  }
  // Reaped, too: a zombie would still be there.
  [[nodiscard]] bool all_gone() const {
    return std::ranges::all_of(started_, [](pid_t pid) { return ::kill(pid, 0) != 0; });
  }
  Server server_{debug_pool("processes = true\n", kShortGraceMs)};
  std::vector<pid_t> started_;
};

INSTANTIATE_TEST_SUITE_P(Of, ProcessTrees,
                         ::testing::Values(R"({"children":3,"ms":60000})",
                                           R"({"children":3,"ms":60000,"block_term":true})",
                                           R"({"children":3,"ms":60000,"daemonize":true,"block_term":true})"));

TEST_P(ProcessTrees, OfATimedOutJobAreGoneWithItsAnswer) {
  client::Client client = server_.connect();
  const auto result = grow(client, 3'000).get();
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kTimeout);
  EXPECT_TRUE(eventually([&] { return all_gone(); }));
}

TEST_P(ProcessTrees, OfACrashedWorkerAreGoneAndItsSuccessorIsNot) {
  client::Client client = server_.connect();
  auto answer = grow(client, 60'000);
  ASSERT_EQ(::kill(server_.busy_worker(), SIGKILL), 0);
  EXPECT_EQ(answer.get().error().code, ErrorCode::kWorkerCrashed);
  EXPECT_TRUE(eventually([&] { return all_gone(); }));
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(client.run({.kind = "debug.noop", .params_json = ""}));
  EXPECT_EQ(server_.deaths("signaled"), 1U);
}

TEST_P(ProcessTrees, AreGoneWhenTheServerEnds) {
  client::Client client = server_.connect();
  (void)grow(client, 60'000);
  server_.signal(SIGTERM);
  server_.signal(SIGINT);  // without waiting for the job
  EXPECT_EQ(server_.wait(), 0);
  EXPECT_TRUE(all_gone());
}

}  // namespace
}  // namespace quern::test
