// Whatever becomes of a job that reserved memory or waits for some: it waits no longer than it may, and what it had
// goes to the next.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <string>
#include <vector>

#include "tests/integration/reservations.h"

namespace quern::test {
namespace {

using client::Job;
using ::testing::HasSubstr;

TEST(Memory, AJobThatIsCancelledWhileItWaitsIsAnsweredAtOnce) {
  const Server server(memory_pool());
  client::Client client = server.connect();
  auto holder = client.submit(reserve(kMost, kForLong));
  ASSERT_TRUE(comes_to_hold(server, kMost, 0));
  auto waiting = client.submit(reserve(kMost));
  ASSERT_TRUE(comes_to_hold(server, kMost, 1));
  auto behind = client.submit(reserve(40 * kMiB));
  ASSERT_TRUE(comes_to_hold(server, kMost, 2));
  waiting.cancel();
  EXPECT_EQ(waiting.get().error().code, ErrorCode::kCancelled);
  EXPECT_EQ(server.pool().at("deaths").as_object().size(), 0U) << "it was woken";
  EXPECT_TRUE(comes_to_hold(server, kMost, 1));
  holder.cancel();
  EXPECT_TRUE(behind.get());
}

TEST(Memory, AVanishedClientsJobsHoldUpNobody) {
  const Server server(memory_pool());
  client::Client client = server.connect();
  {
    client::Client gone = server.connect();
    auto holder = gone.submit(reserve(kMost, kForLong));
    auto waiting = gone.submit(reserve(kMost, kForLong));
    ASSERT_TRUE(comes_to_hold(server, kMost, 1));
  }
  EXPECT_TRUE(client.run(reserve(kMost)));
}

TEST(Memory, OfAKilledWorkerGoesToTheNext) {
  const Server server(memory_pool());
  client::Client client = server.connect();
  auto holder = client.submit(reserve(kMost, kForLong));
  ASSERT_TRUE(comes_to_hold(server, kMost, 0));
  auto waiting = client.submit(reserve(kMost));
  ASSERT_TRUE(comes_to_hold(server, kMost, 1));
  ASSERT_EQ(::kill(workers_of(server, false).at(0), SIGKILL), 0);
  EXPECT_EQ(holder.get().error().code, ErrorCode::kWorkerCrashed);
  EXPECT_TRUE(waiting.get());
  EXPECT_TRUE(comes_to_hold(server, 0, 0));
}

TEST(Memory, AWorkerThatDiesWaitingLeavesTheLine) {
  const Server server(memory_pool());
  client::Client client = server.connect();
  auto holder = client.submit(reserve(kMost, kForLong));
  ASSERT_TRUE(comes_to_hold(server, kMost, 0));
  auto waiting = reserve(kMost);
  waiting.options.attempts = 2;
  auto again = client.submit(std::move(waiting));
  ASSERT_TRUE(comes_to_hold(server, kMost, 1));
  const pid_t victim = workers_of(server, true).at(0);
  ASSERT_EQ(::kill(victim, SIGKILL), 0);
  EXPECT_TRUE(eventually([&] {
    const auto waits = workers_of(server, true);
    return waits.size() == 1 && waits[0] != victim;
  })) << "it is tried again, and waits again";
  holder.cancel();
  const auto result = again.get();
  ASSERT_TRUE(result) << to_string(result.error());
  EXPECT_EQ(result->info.attempts, 2U);
}

TEST(Memory, WaitingForItDoesNotCountAsRunning) {
  const Server server(memory_pool("run_timeout_ms = 600000\nslow_job_ms = 400\n"));
  client::Client client = server.connect();
  auto holder = client.submit(reserve(kMost, 3'000));
  ASSERT_TRUE(comes_to_hold(server, kMost, 0));
  auto waiting = reserve(kMost, 20);
  waiting.options.run_timeout_ms = 500;
  const auto result = client.run(std::move(waiting));
  ASSERT_TRUE(result) << to_string(result.error());
  EXPECT_TRUE(holder.get());
  EXPECT_LT(result->info.run_ns, 500'000'000U);
  EXPECT_GE(result->info.queue_ns, 500'000'000U);
  EXPECT_EQ(fact(server, "slow"), 1U) << "the holder";
}

TEST(Memory, ARunTimeoutStillHoldsAfterTheWait) {
  const Server server(memory_pool());
  client::Client client = server.connect();
  auto holder = client.submit(reserve(kMost, 2'000));
  ASSERT_TRUE(comes_to_hold(server, kMost, 0));
  auto waiting = reserve(kMost, kForLong);
  waiting.options.run_timeout_ms = 200;
  const auto failed = client.run(std::move(waiting));
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().cause, (Cause{CauseKind::kRunTimeout, 0}));
}

TEST(Memory, WaitingForItIsBoundedByTheQueueTimeoutAndTheDeadline) {
  const Server server(memory_pool());
  client::Client client = server.connect();
  auto holder = client.submit(reserve(kMost, kForLong));
  ASSERT_TRUE(comes_to_hold(server, kMost, 0));
  auto queued = reserve(kMost);
  queued.options.queue_timeout_ms = 200;
  const auto failed = client.run(std::move(queued));
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, ErrorCode::kTimeout);
  EXPECT_EQ(failed.error().cause, (Cause{CauseKind::kQueueTimeout, 0}));
  EXPECT_THAT(failed.error().message, HasSubstr("memory_budget_bytes"));
  auto late = reserve(kMost);
  late.options.deadline_ms = 200;
  const auto missed = client.run(std::move(late));
  ASSERT_FALSE(missed);
  EXPECT_EQ(missed.error().cause, (Cause{CauseKind::kDeadline, 0}));
  EXPECT_EQ(server.pool().at("deaths").as_object().size(), 0U);
}

// Jobs so short that a worker is given many at once.
TEST(Memory, WhatWaitsBehindAJobThatWaitsGoesToOtherWorkers) {
  const Server server(memory_pool());
  client::Client client = server.connect();
  auto holder = client.submit(reserve(kMost, kForLong));
  ASSERT_TRUE(comes_to_hold(server, kMost, 0));
  for (int i = 0; i < 200; ++i) ASSERT_TRUE(client.run({.kind = "debug.noop"}));
  std::vector<client::PendingJob> jobs;
  std::vector<client::PendingJob> waiting;
  for (int i = 0; i < 300; ++i) {
    jobs.push_back(client.submit({.kind = "debug.noop"}));
    if (i % 150 == 75) waiting.push_back(client.submit(reserve(kMost)));
  }
  for (auto& job : jobs) {
    const auto result = job.get();
    EXPECT_TRUE(result) << to_string(result.error());
  }
  EXPECT_TRUE(comes_to_hold(server, kMost, 2)) << "the jobs that wait had two of the three other workers";
  holder.cancel();
  for (auto& job : waiting) EXPECT_TRUE(job.get());
}

// Idle workers look for more than the fullest ring, which may hold nothing but what was taken back.
TEST(Memory, WhatWaitsBehindALongJobIsTakenFromItByIdleWorkers) {
  const Server server(memory_pool());
  client::Client client = server.connect();
  auto holder = client.submit(reserve(kMost, kForLong));
  ASSERT_TRUE(comes_to_hold(server, kMost, 0));
  for (int i = 0; i < 200; ++i) ASSERT_TRUE(client.run({.kind = "debug.noop"}));
  auto waiting = client.submit(reserve(kMost));
  auto sleeper = client.submit({.kind = "debug.sleep", .params_json = R"({"ms":600000})"});
  std::vector<client::PendingJob> jobs;
  for (int i = 0; i < 100; ++i) jobs.push_back(client.submit({.kind = "debug.noop"}));
  for (auto& job : jobs) {
    const auto result = job.get();  // not after the queue timeout
    EXPECT_TRUE(result) << to_string(result.error());
  }
  sleeper.cancel();
  holder.cancel();
  EXPECT_TRUE(waiting.get());
}

TEST(Memory, OfWorkersThatLeaveGoesToTheNext) {
  const Server server(memory_pool());
  client::Client client = server.connect();
  ASSERT_TRUE(server.operate(wire::AdminOp::kResize, "debug", 6));
  Operator op(server);
  ASSERT_TRUE(eventually([&] { return op.at_rest(); })) << "one that starts has no share yet";
  auto holder = client.submit(reserve(100 * kMiB, kForLong));
  ASSERT_TRUE(comes_to_hold(server, 100 * kMiB, 0));
  auto waiting = client.submit(reserve(100 * kMiB, 0));  // twice 100, and 16 for each of the four others: 264
  ASSERT_TRUE(comes_to_hold(server, 100 * kMiB, 1));
  ASSERT_TRUE(server.operate(wire::AdminOp::kResize, "debug", 2));
  EXPECT_TRUE(waiting.get());
  holder.cancel();
}

TEST(Memory, ARetryWaitsForItNoLongerThanTheJobsOwnQueueTimeout) {
  const Server server(memory_pool());
  client::Client client = server.connect();
  auto holder = client.submit(reserve(kMost, kForLong));
  ASSERT_TRUE(comes_to_hold(server, kMost, 0));
  Job job = reserve(kMost);
  job.options.queue_timeout_ms = 1000;
  job.options.attempts = 2;
  auto waiting = client.submit(std::move(job));
  ASSERT_TRUE(comes_to_hold(server, kMost, 1));
  ASSERT_EQ(::kill(workers_of(server, true).at(0), SIGKILL), 0);
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(waiting.get().error().code, ErrorCode::kTimeout);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(30)) << "the pool's timeout is 60 s";
  holder.cancel();
}

TEST(Memory, AResizeAndARestartLoseNoJobThatWaits) {
  const Server server(memory_pool());
  client::Client client = server.connect();
  auto holder = client.submit(reserve(kMost, kForLong));
  ASSERT_TRUE(comes_to_hold(server, kMost, 0));
  std::vector<client::PendingJob> jobs;
  for (int i = 0; i < 6; ++i) jobs.push_back(client.submit(reserve(kMost, 1)));
  ASSERT_TRUE(comes_to_hold(server, kMost, 3));
  ASSERT_TRUE(server.operate(wire::AdminOp::kResize, "debug", 1));
  ASSERT_TRUE(server.operate(wire::AdminOp::kResize, "debug", 6));
  EXPECT_TRUE(eventually([&] { return fact(server, "waiting_for_memory") == 6; }));
  ASSERT_TRUE(server.operate(wire::AdminOp::kRestart, "debug"));
  ASSERT_TRUE(server.operate(wire::AdminOp::kDrain, "debug"));
  holder.cancel();
  for (auto& job : jobs) {
    const auto result = job.get();
    EXPECT_TRUE(result) << to_string(result.error());
  }
  EXPECT_TRUE(comes_to_hold(server, 0, 0));
}

TEST(Memory, AServerThatStopsDoesNotWaitForThoseWhoWait) {
  Server server(memory_pool());
  client::Client client = server.connect();
  auto holder = client.submit(reserve(kMost, 3'000));
  ASSERT_TRUE(comes_to_hold(server, kMost, 0));
  // the second would fit beside the holder, once the first has left the line
  auto waiting = client.submit(reserve(kMost));
  ASSERT_TRUE(comes_to_hold(server, kMost, 1));
  auto next = client.submit(reserve(20 * kMiB, kForLong));
  ASSERT_TRUE(comes_to_hold(server, kMost, 2));
  server.signal(SIGTERM);
  EXPECT_EQ(waiting.get().error().code, ErrorCode::kShuttingDown);
  EXPECT_EQ(next.get().error().code, ErrorCode::kShuttingDown);
  EXPECT_TRUE(holder.get()) << "it runs to its end";
  EXPECT_EQ(server.wait(), 0);
}

}  // namespace
}  // namespace quern::test
