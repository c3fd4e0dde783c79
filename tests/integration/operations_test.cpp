// What operators do: limits, cancelling, resizing, draining, restarting, shutting down.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>

#include <atomic>
#include <boost/json/array.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <future>
#include <set>
#include <string>

#include "tests/integration/held_job.h"
#include "tests/integration/server.h"

namespace quern::test {
namespace {

using client::Job;
using client::Part;
using ::testing::HasSubstr;
using wire::AdminOp;

Job job(std::string kind, std::string params = "") {
  return {.kind = std::move(kind), .params_json = std::move(params)};
}
Job sleep_job(int ms) { return job("debug.sleep", "{\"ms\":" + std::to_string(ms) + "}"); }

std::string one_worker(std::string_view more = "") {
  return "[pools.debug]\nmodules = ['debug']\nworkers = 1\ncancel_grace_ms = 200\n" + std::string(more);
}

TEST(Limits, ARunTimeoutStopsAWillingJobWithoutKillingItsWorker) {
  const Server server;
  client::Client client = server.connect();
  auto late = sleep_job(20'000);
  late.options.run_timeout_ms = 300;
  const auto failed = client.run(std::move(late));
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, ErrorCode::kTimeout);
  EXPECT_EQ(failed.error().cause.kind, CauseKind::kRunTimeout);
  EXPECT_EQ(server.pool().at("deaths").as_object().size(), 0U);
}

TEST(Limits, AnUnwillingJobIsKilledAfterTheGracePeriodAndNotRetried) {
  const Server server(debug_pool("", kShortGraceMs));
  client::Client client = server.connect();
  auto stubborn = job("debug.ignore_cancel", R"({"ms":60000})");
  stubborn.options.run_timeout_ms = 300;
  const auto failed = client.run(std::move(stubborn));
  EXPECT_EQ(failed.error().cause.kind, CauseKind::kRunTimeout);
  EXPECT_TRUE(eventually([&] { return server.deaths("run_timeout") == 1; }));
  EXPECT_TRUE(client.run(job("debug.noop")));
}

TEST(Limits, AQueueTimeoutEndsWaiting) {
  const Server server(one_worker());
  client::Client client = server.connect();
  HeldJob running(client);
  (void)server.busy_worker();
  auto waiting = sleep_job(1);
  waiting.options.queue_timeout_ms = 50;
  const auto failed = client.run(std::move(waiting));
  EXPECT_EQ(failed.error().code, ErrorCode::kTimeout);
  EXPECT_EQ(failed.error().cause.kind, CauseKind::kQueueTimeout);
  running.let_go();
  EXPECT_TRUE(running.get());
}

TEST(Limits, ADeadlineCoversWaitingAndRunning) {
  const Server server(one_worker());
  client::Client client = server.connect();
  auto running = sleep_job(20'000);
  running.options.deadline_ms = 100;
  EXPECT_EQ(client.run(std::move(running)).error().cause.kind, CauseKind::kDeadline);
}

TEST(Limits, AClientsOwnTimeLimitCancelsItsJob) {
  const Server server(one_worker());
  client::Client client = server.connect();
  auto late = sleep_job(20'000);
  late.timeout = 50ms;
  EXPECT_EQ(client.run(std::move(late)).error().code, ErrorCode::kTimeout);
  EXPECT_TRUE(eventually([&] { return server.pool().at("running").to_number<int>() == 0; }));
}

TEST(Cancel, EndsARunningAndAQueuedJob) {
  const Server server(one_worker());
  client::Client client = server.connect();
  std::promise<Result<client::JobResult>> running;
  std::promise<Result<client::JobResult>> queued;
  const auto first = client.submit(sleep_job(20'000), [&](auto result) { running.set_value(std::move(result)); });
  (void)server.busy_worker();
  const auto second = client.submit(sleep_job(20'000), [&](auto result) { queued.set_value(std::move(result)); });
  client.cancel(second);
  EXPECT_EQ(queued.get_future().get().error().code, ErrorCode::kCancelled);
  client.cancel(first);
  EXPECT_EQ(running.get_future().get().error().code, ErrorCode::kCancelled);
  client.cancel(first);  // long answered: ignored
  EXPECT_TRUE(client.run(job("debug.noop")));
}

TEST(Cancel, AVanishedClientsJobsAreStopped) {
  const Server server(one_worker());
  {
    client::Client client = server.connect();
    client.submit(sleep_job(60'000), [](auto) {});
    client.submit(sleep_job(60'000), [](auto) {});
    (void)server.busy_worker();
  }
  EXPECT_TRUE(eventually([&] {
    const auto pool = server.pool();
    return pool.at("running").to_number<int>() == 0 && pool.at("queued").to_number<int>() == 0;
  }));
}

TEST(Backpressure, AFullQueueRefusesThoseWhoDoNotWaitAndHoldsTheOthers) {
  const Server server(one_worker("queue_jobs_max = 3\n"));
  client::Client client = server.connect();
  HeldJob running(client);
  (void)server.busy_worker();
  std::vector<std::future<Result<client::JobResult>>> answers;
  for (int i = 0; i < 3; ++i) answers.push_back(client.submit(sleep_job(1)));
  ASSERT_TRUE(eventually([&] { return server.pool().at("queued").to_number<int>() == 3; }));
  client::Client other = server.connect();
  auto impatient = sleep_job(1);
  impatient.options.no_wait = true;
  const auto refused = other.run(std::move(impatient));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kBusy);
  EXPECT_GT(refused.error().retry_after_ms, 0U);
  for (int i = 0; i < 20; ++i) answers.push_back(other.submit(sleep_job(1)));
  running.let_go();
  EXPECT_TRUE(running.get());
  for (auto& answer : answers) {
    const auto result = answer.get();
    EXPECT_TRUE(result) << to_string(result.error());
  }
}

TEST(Priority, HigherOnesRunFirst) {
  const Server server(one_worker());
  client::Client client = server.connect();
  HeldJob first(client);
  (void)server.busy_worker();
  std::mutex mutex;
  std::vector<int> order;
  std::atomic<int> left{3};
  for (const int priority : {1, 5, 9}) {
    auto queued = sleep_job(5);
    queued.options.priority = static_cast<std::uint8_t>(priority);
    client.submit(std::move(queued), [&, priority](auto) {
      const std::lock_guard lock(mutex);
      order.push_back(priority);
      --left;
    });
  }
  EXPECT_TRUE(eventually([&] { return server.pool().at("queued").to_number<int>() == 3; }));
  first.let_go();
  EXPECT_TRUE(first.get());
  EXPECT_TRUE(eventually([&] { return left == 0; }));
  EXPECT_EQ(order, (std::vector<int>{9, 5, 1}));
}

TEST(Resize, UpAndDownUnderLoadLosesNothing) {
  const Server server;
  client::Client client = server.connect();
  constexpr int kJobs = 2000;
  std::atomic<int> right{0};
  std::atomic<int> answered{0};
  for (int i = 0; i < kJobs; ++i) {
    client.submit(sleep_job(2), [&](Result<client::JobResult> result) {
      if (result && result->info.attempts == 1) ++right;
      ++answered;
    });
  }
  for (const std::uint32_t workers : {4U, 1U, 6U, 1U, 3U}) {
    ASSERT_TRUE(server.operate(AdminOp::kResize, "debug", workers));
    EXPECT_TRUE(eventually([&] { return server.pool().at("workers").as_array().size() == workers; })) << workers;
  }
  EXPECT_TRUE(eventually([&] { return answered == kJobs; }, 60s));
  EXPECT_EQ(right, kJobs);
  EXPECT_EQ(server.pool().at("deaths").as_object().size(), 0U);
}

TEST(Pause, QueuesAndStartsNothingUntilResumed) {
  const Server server;
  client::Client client = server.connect();
  ASSERT_TRUE(server.operate(AdminOp::kPause, "debug"));
  auto answer = client.submit(job("debug.noop"));
  ASSERT_TRUE(eventually([&] { return server.pool().at("queued").to_number<int>() == 1; }));
  EXPECT_EQ(answer.wait_for(50ms), std::future_status::timeout);
  ASSERT_TRUE(server.operate(AdminOp::kResume, "debug"));
  EXPECT_TRUE(answer.get());
}

TEST(Drain, FinishesWhatWasAcceptedAndRefusesTheRest) {
  const Server server(one_worker());
  client::Client client = server.connect();
  HeldJob running(client);
  (void)server.busy_worker();
  auto queued = client.submit(sleep_job(1));
  ASSERT_TRUE(eventually([&] { return server.pool().at("queued").to_number<int>() == 1; }));
  ASSERT_TRUE(server.operate(AdminOp::kDrain, "debug"));
  EXPECT_EQ(client.run(job("debug.noop")).error().code, ErrorCode::kUnavailable);
  running.let_go();
  EXPECT_TRUE(running.get());
  EXPECT_TRUE(queued.get());
}

TEST(Restart, ReplacesEveryWorkerUnderLoadAndLosesNothing) {
  const Server server;
  client::Client client = server.connect();
  const auto pids = [&] {
    std::set<std::int64_t> found;
    const auto pool = server.pool();
    for (const auto& worker : pool.at("workers").as_array()) found.insert(worker.at("pid").as_int64());
    return found;
  };
  const auto before = pids();
  std::atomic<int> answered{0};
  std::atomic<int> right{0};
  for (int i = 0; i < 500; ++i) {
    client.submit(sleep_job(2), [&](Result<client::JobResult> result) {
      right += result.has_value() ? 1 : 0;
      ++answered;
    });
  }
  ASSERT_TRUE(server.operate(AdminOp::kRestart, "debug"));
  EXPECT_TRUE(eventually([&] {
    const auto after = pids();
    return after.size() == 2 && std::ranges::none_of(after, [&](auto pid) { return before.contains(pid); });
  }));
  EXPECT_TRUE(eventually([&] { return answered == 500; }, 30s));
  EXPECT_EQ(right, 500);
}

TEST(Shutdown, FinishesRunningJobsAndAnswersQueuedOnes) {
  Server server(one_worker());
  client::Client client = server.connect();
  HeldJob running(client);
  (void)server.busy_worker();
  auto queued = client.submit(sleep_job(1));
  ASSERT_TRUE(eventually([&] { return server.pool().at("queued").to_number<int>() == 1; }));
  server.signal(SIGTERM);
  EXPECT_EQ(queued.get().error().code, ErrorCode::kShuttingDown);
  running.let_go();
  const auto result = running.get();
  EXPECT_TRUE(result) << to_string(result.error());
  EXPECT_EQ(server.wait(), 0);
}

TEST(Shutdown, TheGracePeriodBoundsIt) {
  Server server("[server]\nshutdown_grace_ms = 100\n" + one_worker());
  client::Client client = server.connect();
  auto stubborn = client.submit(job("debug.ignore_cancel", R"({"ms":60000})"));
  (void)server.busy_worker();
  server.signal(SIGTERM);
  EXPECT_EQ(stubborn.get().error().code, ErrorCode::kShuttingDown);
  EXPECT_EQ(server.wait(), 0);
}

class Configuration : public ::testing::Test {
 protected:
  Configuration() {
    std::string pattern = ::testing::TempDir() + "quern-config.XXXXXX";
    if (::mkdtemp(pattern.data()) == nullptr) std::abort();
    directory_ = pattern;
  }
  ~Configuration() override { std::filesystem::remove_all(directory_); }
  std::string directory_;
};

TEST_F(Configuration, ABadFileIsRefusedWithLineAndExitCodeTwo) {
  const std::string path = directory_ + "/bad.toml";
  std::ofstream(path) << "[pools.a]\nmodules = ['debug']\nworkers = 'two'\n";
  const auto ended = run({QUERND, "--config", path, "--check-config"});
  EXPECT_EQ(ended.exit_code, 2);
  EXPECT_THAT(ended.err, HasSubstr("line 3: pools.a.workers: must be a whole number"));
}

TEST_F(Configuration, AModuleThatIsNotThereIsNamed) {
  const std::string path = directory_ + "/nomodule.toml";
  std::ofstream(path) << "[pools.a]\nmodules = ['nosuch']\n";
  const auto ended = run({QUERND, "--config", path, "--runtime-dir", directory_ + "/run"});
  EXPECT_NE(ended.exit_code, 0);
  EXPECT_THAT(ended.err, HasSubstr("nosuch.so"));
}

// What was taken back from a worker sets it a limit. It has passed that over long before, and other jobs wait in its
// ring when the limit comes.
TEST(Limits, AWorkerIsNotKilledForWhatItHasPassedOver) {
  const Server server("[pools.debug]\nmodules = ['debug']\nworkers = 1\ncancel_grace_ms = 50\n");
  client::Client client = server.connect();
  std::vector<std::future<Result<client::JobResult>>> answers;
  const auto submit_some = [&] {
    for (int i = 0; i < 200; ++i) answers.push_back(client.submit(job("debug.noop")));
  };
  const auto take_answers = [&] {
    for (auto& answer : answers) ASSERT_TRUE(answer.get());
    answers.clear();
  };
  for (int round = 0; round < 10; ++round) {
    submit_some();
    ASSERT_TRUE(server.operate(wire::AdminOp::kPause, "debug"));
    ASSERT_TRUE(server.operate(wire::AdminOp::kResume, "debug"));
    for (const auto until = std::chrono::steady_clock::now() + 100ms; std::chrono::steady_clock::now() < until;) {
      submit_some();
      take_answers();
    }
  }
  EXPECT_EQ(server.deaths("run_timeout"), 0U);
}

// Late is not stuck: it was not scheduled for longer than its job's run timeout.
TEST(Limits, ALateWorkerLivesAndItsJobCostsNoAttempt) {
  const Server server("[pools.debug]\nmodules = ['debug']\nworkers = 1\ncancel_grace_ms = 20000\n");
  client::Client client = server.connect();
  Operator watch(server);
  const pid_t worker = server.only_worker();
  ASSERT_EQ(::kill(worker, SIGSTOP), 0);
  Job late = job("debug.noop");
  late.options.run_timeout_ms = 20;
  auto answer = client.submit(std::move(late));
  const auto was_given = [&] { return watch.pool().at("running").to_number<int>() == 1; };
  const auto was_taken_back = [&] { return watch.pool().at("queued").to_number<int>() == 1; };
  const bool moved_on = eventually(was_given) && eventually(was_taken_back);
  ::kill(worker, SIGCONT);
  EXPECT_TRUE(moved_on);
  const auto result = answer.get();
  ASSERT_TRUE(result) << to_string(result.error());
  EXPECT_EQ(result->info.attempts, 1U);
  EXPECT_EQ(watch.pool().at("workers").at(0).at("pid").to_number<pid_t>(), worker);
}

}  // namespace
}  // namespace quern::test
