// Jobs that reserve memory of their pool's budget: they wait for each other, in order, for no longer than they may,
// and what one had goes to the next whatever becomes of it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <cstring>
#include <fstream>
#include <mutex>
#include <string>
#include <vector>

#include "tests/integration/server.h"

namespace quern::test {
namespace {

using client::Job;
using ::testing::HasSubstr;

constexpr std::uint64_t kMiB = 1U << 20;
constexpr std::uint64_t kBudget = 256 * kMiB;
constexpr std::uint64_t kMost = 200 * kMiB;  // no two of these fit

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

std::string memory_pool(std::string_view more = "", std::string_view modules = "'debug'") {
  return "[pools.debug]\nmodules = [" + std::string(modules) +
         "]\nworkers = 4\ncancel_grace_ms = 2000\nattempts = 1\n"
         "memory_budget_bytes = '256MiB'\n" +
         std::string(more);
}

Job reserve(std::uint64_t bytes, std::uint64_t ms = 0, std::string_view more = "") {
  return {
      .kind = "debug.reserve",
      .params_json = "{\"bytes\":" + std::to_string(bytes) + ",\"ms\":" + std::to_string(ms) + std::string(more) + "}"};
}

constexpr std::uint64_t kForLong = 600'000;

std::uint64_t fact(const Server& server, std::string_view name) {
  return server.pool().at(name).to_number<std::uint64_t>();
}
bool comes_to_hold(const Server& server, std::uint64_t bytes, std::uint64_t waiting) {
  return eventually([&] {
    const auto pool = server.pool();
    return pool.at("memory_reserved_bytes").to_number<std::uint64_t>() == bytes &&
           pool.at("waiting_for_memory").to_number<std::uint64_t>() == waiting;
  });
}

// Workers whose job has memory, or waits for some.
std::vector<pid_t> workers_of(const Server& server, bool waiting) {
  std::vector<pid_t> pids;
  const auto pool = server.pool();
  for (const auto& worker : pool.at("workers").as_array()) {
    const auto* job = worker.as_object().if_contains("job");
    if (job == nullptr || job->at("memory_bytes").to_number<std::uint64_t>() == 0) continue;
    if (job->at("waits_for_memory").as_bool() == waiting)
      pids.push_back(static_cast<pid_t>(worker.at("pid").as_int64()));
  }
  return pids;
}

TEST(Memory, JobsThatDoNotFitTogetherRunOneAfterTheOther) {
  const Server server(memory_pool());
  client::Client client = server.connect();
  std::vector<client::PendingJob> jobs;
  for (int i = 0; i < 20; ++i) jobs.push_back(client.submit(reserve(kMost, 5)));
  std::uint64_t most = 0;
  for (auto& job : jobs) {
    const auto result = job.get();
    EXPECT_TRUE(result) << to_string(result.error());
    most = std::max(most, fact(server, "memory_reserved_bytes"));
  }
  EXPECT_LE(most, kMost);
  EXPECT_GE(fact(server, "waited_for_memory"), 3U);
  EXPECT_TRUE(comes_to_hold(server, 0, 0));
}

TEST(Memory, JobsThatFitTogetherRunTogether) {
  const Server server(memory_pool());
  client::Client client = server.connect();
  std::vector<client::PendingJob> jobs;
  for (int i = 0; i < 3; ++i) jobs.push_back(client.submit(reserve(70 * kMiB, kForLong)));
  EXPECT_TRUE(comes_to_hold(server, 3 * 70 * kMiB, 0));
  jobs.push_back(client.submit(reserve(70 * kMiB, kForLong)));
  EXPECT_TRUE(comes_to_hold(server, 3 * 70 * kMiB, 1)) << "the fourth is one too many";
  const auto status = quern(server, {"status"});
  EXPECT_THAT(status.out, HasSubstr("210.0 MiB/256.0 MiB, 1 wait"));
  EXPECT_THAT(status.out, HasSubstr("waits for 70.0 MiB"));
  EXPECT_THAT(quern(server, {"top", "--once"}).out, HasSubstr("210.0 MiB/256.0 MiB, 1 wait"));
  EXPECT_THAT(quern(server, {"jobs"}).out, HasSubstr("waiting"));
}

// All black, uncompressed: BITMAPFILEHEADER and BITMAPINFOHEADER before the pixels.
std::string bitmap(std::uint32_t width, std::uint32_t height) {
  std::string file(54 + std::size_t{3} * width * height, '\0');
  const auto put = [&](std::size_t at, std::uint32_t value) { std::memcpy(&file[at], &value, sizeof value); };
  file[0] = 'B';
  file[1] = 'M';
  put(10, 54);
  put(14, 40);
  put(18, width);
  put(22, height);
  put(26, 1 | 24U << 16);  // planes, bits a pixel
  return file;
}

TEST(Memory, APicturesIsKnownFromItsHeader) {
  const Server server(memory_pool("", "'debug', 'image'"));
  client::Client client = server.connect();
  auto holder = client.submit(reserve(kBudget, kForLong));
  ASSERT_TRUE(comes_to_hold(server, kBudget, 0));
  const std::string large = bitmap(2400, 2000);
  const auto mirrored = [](const std::string& picture) {
    return Job{.kind = "image.process",
               .params_json = R"({"operations":[{"op":"flop"}],"format":"png"})",
               .parts = {client::Part::copy(picture)}};
  };
  auto waiting = client.submit(mirrored(large));
  ASSERT_TRUE(comes_to_hold(server, kBudget, 1));
  EXPECT_TRUE(client.run(mirrored(bitmap(60, 50)))) << "thumbnails pass by";
  const auto never = client.run(mirrored(bitmap(6000, 4000)));
  ASSERT_FALSE(never);
  EXPECT_EQ(never.error().code, ErrorCode::kTooLarge) << never.error().message;
  holder.cancel();
  EXPECT_TRUE(waiting.get());
  EXPECT_TRUE(comes_to_hold(server, 0, 0));
}

// Of a process, what no other shares.
std::uint64_t private_bytes(pid_t pid) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("RssAnon:")) return std::stoull(line.substr(8)) * 1024;
  }
  return 0;
}

// Its heap may keep what it freed for the next one; but not for long.
TEST(Memory, OfAJobThatIsDoneGoesBackToTheMachine) {
  if (kSanitized) GTEST_SKIP() << "a sanitizer has an allocator of its own";
  const Server server(memory_pool("workers_max = 4\n", "'debug', 'image'"));
  ASSERT_TRUE(server.operate(wire::AdminOp::kResize, "debug", 1));
  ASSERT_TRUE(eventually([&] { return server.pool().at("workers").as_array().size() == 1; }));
  const auto pid = static_cast<pid_t>(server.pool().at("workers").at(0).at("pid").as_int64());
  const std::uint64_t before = private_bytes(pid);
  client::Client client = server.connect();
  for (int i = 0; i < 5; ++i) {
    EXPECT_TRUE(client.run({.kind = "image.process",
                            .params_json = R"({"operations":[{"op":"flop"}],"format":"png"})",
                            .parts = {client::Part::copy(bitmap(2400, 2000))}}));
  }
  EXPECT_TRUE(eventually([&] { return private_bytes(pid) < before + 8 * kMiB; })) << private_bytes(pid) - before;
}

TEST(Memory, SmallReservationsAreNotAskedFor) {
  const Server server(memory_pool());
  client::Client client = server.connect();
  auto holder = client.submit(reserve(kBudget, kForLong));
  ASSERT_TRUE(comes_to_hold(server, kBudget, 0));
  EXPECT_TRUE(client.run(reserve(16 * kMiB)));
  EXPECT_EQ(fact(server, "waited_for_memory"), 0U);
}

TEST(Memory, ThatThereIsNeverIsRefusedWithTheSettingToRaise) {
  const Server server(memory_pool("memory_bytes_max = '220MiB'\n"));
  client::Client client = server.connect();
  const auto failed = client.run(reserve(kBudget + 1));
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, ErrorCode::kTooLarge);
  EXPECT_THAT(failed.error().message, HasSubstr("memory_bytes_max"));
  EXPECT_TRUE(client.run(reserve(kMost)));
  const Server unbounded(memory_pool());
  client::Client other = unbounded.connect();
  const auto refused = other.run(reserve(kBudget + 1));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kTooLarge);
  EXPECT_THAT(refused.error().message, HasSubstr(std::to_string(kBudget + 1)));
  EXPECT_THAT(refused.error().message, HasSubstr(std::to_string(kBudget)));
  EXPECT_THAT(refused.error().message, HasSubstr("memory_budget_bytes"));
  EXPECT_TRUE(other.run(reserve(kBudget))) << "all of it is not too much";
}

TEST(Memory, WithoutABudgetNobodyWaits) {
  const Server server("[pools.debug]\nmodules = ['debug']\nworkers = 2\nmemory_budget_bytes = 0\n");
  client::Client client = server.connect();
  auto holder = client.submit(reserve(1ULL << 39, kForLong));
  (void)server.busy_worker();
  EXPECT_TRUE(client.run(reserve(1ULL << 39)));
}

TEST(Memory, WhatAJobGivesBackGoesToTheNext) {
  const Server server(memory_pool());
  client::Client client = server.connect();
  auto holder = client.submit(reserve(kMost, 0, R"(,"then_bytes":[33554432],"then_ms":600000)"));
  EXPECT_TRUE(comes_to_hold(server, 32 * kMiB, 0));
  EXPECT_TRUE(client.run(reserve(190 * kMiB))) << "with the shares of two idle workers it is all";
  holder.cancel();
  EXPECT_EQ(holder.get().error().code, ErrorCode::kCancelled);
}

TEST(Memory, MoreThanBeforeIsTheModulesMistakeUnlessItHasNothing) {
  const Server server(memory_pool());
  client::Client client = server.connect();
  for (const std::uint64_t bytes : {kMiB, 100 * kMiB}) {
    const auto failed = client.run(reserve(bytes, 0, R"(,"then_bytes":[200000000])"));
    ASSERT_FALSE(failed);
    EXPECT_EQ(failed.error().code, ErrorCode::kInternal) << "however little it was";
  }
  std::vector<client::PendingJob> jobs;
  for (int i = 0; i < 8; ++i) {
    jobs.push_back(client.submit(reserve(100 * kMiB, 0, R"(,"then_bytes":[1000,0,200000000,0,200000000,0,90000000])")));
  }
  for (auto& job : jobs) {
    const auto result = job.get();
    EXPECT_TRUE(result) << to_string(result.error());
  }
  EXPECT_TRUE(comes_to_hold(server, 0, 0));
}

TEST(Memory, NobodyOvertakesAJobThatWaits) {
  const Server server(memory_pool());
  client::Client client = server.connect();
  auto holder = client.submit(reserve(100 * kMiB, kForLong));
  ASSERT_TRUE(comes_to_hold(server, 100 * kMiB, 0));
  auto large = client.submit(reserve(kMost, kForLong));
  ASSERT_TRUE(comes_to_hold(server, 100 * kMiB, 1));
  auto small = client.submit(reserve(40 * kMiB));
  ASSERT_TRUE(comes_to_hold(server, 100 * kMiB, 2)) << "although there is room for it";
  holder.cancel();
  EXPECT_TRUE(comes_to_hold(server, kMost, 1)) << "the large one runs, and no room is left beside the shares";
  large.cancel();
  EXPECT_TRUE(small.get());
}

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
  auto holder = client.submit(reserve(kMost, 1'500));
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
  auto holder = client.submit(reserve(kMost, 600));
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
  ASSERT_TRUE(eventually([&] { return server.pool().at("workers").as_array().size() == 6; }));
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
  auto holder = client.submit(reserve(kMost, 500));
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
