// What a client may count on for each of its jobs, and an operator for each of his requests.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <atomic>
#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <future>

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

boost::json::object ask(const Server& server, AdminOp op, std::string_view pool = {}, std::uint64_t value = 0) {
  const auto document = server.operate(op, pool, value);
  EXPECT_TRUE(document) << to_string(document.error());
  return document ? boost::json::parse(*document).as_object() : boost::json::object{};
}

std::string one_worker(std::string_view more = "") {
  return "[pools.debug]\nmodules = ['debug']\nworkers = 1\ncancel_grace_ms = 100\n" + std::string(more);
}

// ---- Retry only on what allows it ----------------------------------------------------------------

TEST(Retry, HappensOnlyAfterTheCausesThatAllowIt) {
  const Server server(one_worker("attempts = 3\nquarantine_deaths = 0\n"));
  client::Client client = server.connect();
  const auto crashing = [] { return job("debug.crash", R"({"until_attempt":2})"); };
  EXPECT_EQ(client.run(crashing())->info.attempts, 2U) << "a crash, by default";
  auto crash = crashing();
  crash.options.retry_on = RetryOn::kRunTimeout;
  const auto once = client.run(std::move(crash));
  ASSERT_FALSE(once);
  EXPECT_EQ(once.error().code, ErrorCode::kWorkerCrashed);
  EXPECT_THAT(once.error().message, HasSubstr("on attempt 1 of 3"));
}

TEST(Retry, ARunTimeoutIsTriedAgainWhenAllowed) {
  const Server server(one_worker("quarantine_deaths = 0\n"));
  client::Client client = server.connect();
  for (const char* kind : {"debug.sleep", "debug.ignore_cancel"}) {
    auto slow = job(kind, R"({"ms":60000})");
    slow.options.run_timeout_ms = 50;
    slow.options.attempts = 2;
    slow.options.retry_on = RetryOn::kRunTimeout;
    const auto retried_before = server.pool().at("retried").to_number<int>();
    const auto failed = client.run(std::move(slow));
    ASSERT_FALSE(failed);
    EXPECT_EQ(failed.error().code, ErrorCode::kTimeout) << kind;
    EXPECT_EQ(server.pool().at("retried").to_number<int>(), retried_before + 1) << kind;
  }
}

// ---- Quarantine ----------------------------------------------------------------------------------

std::uint64_t quarantined_id(const Server& server) {
  const auto list = ask(server, AdminOp::kQuarantineList);
  const auto& entries = list.at("entries").as_array();
  EXPECT_EQ(entries.size(), 1U);
  return entries.empty() ? 0 : std::stoull(std::string(entries[0].at("id").as_string()), nullptr, 16);
}

TEST(Quarantine, RefusesContentThatKillsWorkersAndNothingElse) {
  const Server server(debug_pool("attempts = 1\nquarantine_deaths = 2\n"));
  client::Client client = server.connect();
  const auto crash = [&](std::string text) {
    Job poison = job("debug.crash", R"({"signal":11})");
    poison.parts = {Part::copy(std::move(text))};
    return client.run(std::move(poison));
  };
  EXPECT_EQ(crash("poison").error().code, ErrorCode::kWorkerCrashed);
  EXPECT_EQ(crash("poison").error().code, ErrorCode::kWorkerCrashed);
  Error refused;
  ASSERT_TRUE(eventually([&] {
    refused = crash("poison").error();
    return refused.code == ErrorCode::kQuarantined;
  }));
  EXPECT_EQ(refused.cause, (Cause{CauseKind::kSignaled, SIGSEGV}));
  EXPECT_GT(refused.job_id, 0U);
  EXPECT_EQ(crash("p0ison").error().code, ErrorCode::kWorkerCrashed) << "the same size, another content";
  EXPECT_THAT(server.log(), HasSubstr("event=content_quarantined"));

  const auto list = ask(server, AdminOp::kQuarantineList).at("entries").as_array();
  ASSERT_EQ(list.size(), 2U);
  EXPECT_EQ(list[0].at("state").as_string(), "quarantined");
  EXPECT_EQ(list[1].at("state").as_string(), "suspect");
  const std::uint64_t id = std::stoull(std::string(list[0].at("id").as_string()), nullptr, 16);
  EXPECT_THAT(refused.message, HasSubstr(std::string(list[0].at("id").as_string())));
  const auto shown = ask(server, AdminOp::kQuarantineShow, "", id);
  EXPECT_GE(shown.at("last_deaths").as_array().size(), 2U);
  ask(server, AdminOp::kQuarantineRelease, "", id);
  EXPECT_EQ(crash("poison").error().code, ErrorCode::kWorkerCrashed) << "taken again";
}

TEST(Quarantine, AnAnswerClearsASuspect) {
  const Server server(debug_pool("attempts = 2\nquarantine_deaths = 3\n"));
  client::Client client = server.connect();
  // each job dies once and is then answered: the same content, and never three deaths without an answer
  for (int i = 0; i < 5; ++i) {
    const auto answered = client.run(job("debug.crash", R"({"until_attempt":2})"));
    ASSERT_TRUE(answered) << i << ": " << to_string(answered.error());
  }
}

TEST(Quarantine, ReplayRunsItOnceAndReleasesWhatSucceeds) {
  const Server server(debug_pool("attempts = 1\nquarantine_deaths = 1\n"));
  client::Client client = server.connect();
  const std::string big(300'000, 'x');  // does not fit a slot
  Job poison = job("debug.crash", R"({"signal":11})");
  poison.parts = {Part::copy(big)};
  EXPECT_FALSE(client.run(std::move(poison)));
  ASSERT_TRUE(eventually([&] { return !ask(server, AdminOp::kQuarantineList).at("entries").as_array().empty(); }));
  const std::uint64_t id = quarantined_id(server);
  const auto again = ask(server, AdminOp::kQuarantineReplay, "", id);
  EXPECT_FALSE(again.at("released").as_bool());
  EXPECT_THAT(std::string(again.at("error").as_string()), HasSubstr("SIGSEGV"));
  EXPECT_EQ(server.operate(AdminOp::kQuarantineReplay, "", id + 1).error().code, ErrorCode::kNotFound);
}

TEST(Quarantine, AKillFromOutsideIsNobodysFault) {
  const Server server(debug_pool("attempts = 1\nquarantine_deaths = 1\n"));
  client::Client client = server.connect();
  Job waiting = job("debug.produce", R"({"bytes":1,"then":"wait"})");
  std::promise<void> begun;  // one that has not begun would be run by another worker
  waiting.on_bytes = [&](std::span<const std::byte>) { begun.set_value(); };
  auto answer = client.submit(std::move(waiting));
  ASSERT_EQ(begun.get_future().wait_for(30s), std::future_status::ready);
  ::kill(server.busy_worker(), SIGKILL);
  EXPECT_EQ(answer.get().error().code, ErrorCode::kWorkerCrashed);
  EXPECT_TRUE(client.run(job("debug.noop")));
  EXPECT_TRUE(ask(server, AdminOp::kQuarantineList).at("entries").as_array().empty());
}

// ---- Admission -----------------------------------------------------------------------------------

TEST(Admission, ADeadlineThatCannotBeMetIsRefusedBeforeItRuns) {
  const Server server(one_worker());
  client::Client client = server.connect();
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(client.run(job("debug.sleep", R"({"ms":100})")));
  auto hopeless = job("debug.sleep", R"({"ms":100})");
  hopeless.options.deadline_ms = 20;
  const auto started = std::chrono::steady_clock::now();
  const auto refused = client.run(std::move(hopeless));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().cause.kind, CauseKind::kDeadline);
  EXPECT_THAT(refused.error().message, HasSubstr("can't be met"));
  EXPECT_LT(std::chrono::steady_clock::now() - started, 20ms + 1s);
  EXPECT_EQ(server.pool().at("refused").to_number<int>(), 1);
}

TEST(Admission, AFloodingClientStarvesNobody) {
  const Server server(one_worker("queue_jobs_max = 500\n"));
  client::Client flood = server.connect();
  std::vector<std::future<Result<client::JobResult>>> flooded;
  for (int i = 0; i < 450; ++i) flooded.push_back(flood.submit(job("debug.sleep", R"({"ms":5})")));
  ASSERT_TRUE(eventually([&] { return server.pool().at("queued").to_number<int>() > 300; }));
  client::Client polite = server.connect();
  auto mine = job("debug.noop");
  mine.options.no_wait = true;
  const auto answered = polite.run(std::move(mine));
  ASSERT_TRUE(answered) << "there is a place for it: " << to_string(answered.error());
  EXPECT_GT(server.pool().at("queued").to_number<int>(), 100) << "and it did not wait behind the flood";
  for (auto& each : flooded) EXPECT_TRUE(each.get());
}

TEST(Admission, APlaceThatATimeoutFreesIsGivenAway) {
  const Server server(one_worker("queue_jobs_max = 1\nqueue_timeout_ms = 200\n"));
  client::Client client = server.connect();
  auto running = client.submit(job("debug.sleep", R"({"ms":60000})"));
  (void)server.busy_worker();
  auto queued = client.submit(job("debug.noop"));
  client::Client other = server.connect();
  auto waiting = other.submit(job("debug.noop"));  // no place: its connection is not read
  EXPECT_EQ(queued.get().error().cause.kind, CauseKind::kQueueTimeout);
  ASSERT_EQ(waiting.wait_for(20s), std::future_status::ready) << "it got the place, and its own timeout";
  EXPECT_EQ(waiting.get().error().cause.kind, CauseKind::kQueueTimeout);
  running.cancel();
  EXPECT_FALSE(running.get());
}

// ---- Recycling -----------------------------------------------------------------------------------

TEST(Recycling, AWorkerIsReplacedAfterItsJobsAndThePoolNeverShrinks) {
  const Server server(debug_pool("worker_jobs_max = 20\n"));
  client::Client client = server.connect();
  std::atomic<bool> done = false;
  std::atomic<int> smallest = 2;
  auto watcher = std::async(std::launch::async, [&] {
    while (!done) {
      int serving = 0;
      const boost::json::object pool = server.pool();
      for (const auto& worker : pool.at("workers").as_array()) {
        const auto& state = worker.at("state").as_string();
        serving += state == "idle" || state == "busy" ? 1 : 0;
      }
      smallest = std::min(smallest.load(), serving);
    }
  });
  int jobs = 0;  // a worker goes on working while its successor is born, so how many this takes is not fixed
  EXPECT_TRUE(eventually([&] {
    for (int i = 0; i < 20; ++i, ++jobs) EXPECT_TRUE(client.run(job("debug.noop")));
    return server.pool().at("recycled").to_number<int>() >= 8;
  }));
  EXPECT_GE(jobs, 8 * 15) << "none went before its share, which is 20 less the jitter";
  done = true;
  watcher.get();
  EXPECT_EQ(smallest, 2);
  EXPECT_TRUE(server.pool().at("deaths").as_object().empty()) << "retiring is no death";
}

TEST(Recycling, AWorkerThatGrewTooLargeIsReplacedBetweenJobs) {
  const Server server(one_worker("worker_rss_bytes_max = '1MiB'\n"));
  client::Client client = server.connect();
  EXPECT_TRUE(eventually([&] {
    EXPECT_TRUE(client.run(job("debug.noop")));
    return server.pool().at("recycled").to_number<int>() >= 1;
  }));
}

// ---- Operators -----------------------------------------------------------------------------------

TEST(Operators, CancelAQueuedAndARunningJobById) {
  const Server server(one_worker());
  client::Client client = server.connect();
  auto running = client.submit(job("debug.ignore_cancel", R"({"ms":60000})"));
  (void)server.busy_worker();
  auto queued = client.submit(job("debug.noop"));
  boost::json::array jobs;
  ASSERT_TRUE(eventually([&] {
    jobs = ask(server, AdminOp::kJobs).at("jobs").as_array();
    return jobs.size() == 2;
  }));
  EXPECT_EQ(jobs[0].at("state").as_string(), "running");
  EXPECT_EQ(jobs[1].at("state").as_string(), "queued");
  for (const auto& each : {jobs[1], jobs[0]}) {
    ask(server, AdminOp::kCancel, "", each.at("id").to_number<std::uint64_t>());
  }
  for (auto* answer : {&queued, &running}) {
    const auto ended = answer->get();
    ASSERT_FALSE(ended);
    EXPECT_EQ(ended.error().code, ErrorCode::kCancelled);
    EXPECT_EQ(ended.error().cause.kind, CauseKind::kOperator);
  }
  EXPECT_EQ(server.operate(AdminOp::kCancel, "", 999).error().code, ErrorCode::kNotFound);
}

TEST(Operators, HealthRunsAJobThroughEachPool) {
  const Server server(one_worker());
  EXPECT_TRUE(ask(server, AdminOp::kHealth).at("healthy").as_bool());
  const std::string kinds = server.connect().kinds().value();
  EXPECT_EQ(kinds.find("health."), std::string::npos) << "no kind of the user's";
  ASSERT_TRUE(server.operate(AdminOp::kPause, "debug"));
  EXPECT_FALSE(ask(server, AdminOp::kHealth, "debug").at("healthy").as_bool());
  ASSERT_TRUE(server.operate(AdminOp::kResume, "debug"));
  EXPECT_EQ(server.operate(AdminOp::kHealth, "nosuch").error().code, ErrorCode::kNotFound);
}

TEST(Operators, HealthSeesAPoolWhoseWorkersLookAliveAndAreNot) {
  const Server server(one_worker());
  client::Client client = server.connect();
  ASSERT_TRUE(client.run(job("debug.noop")));
  const pid_t pid = server.only_worker();
  ASSERT_EQ(::kill(pid, SIGSTOP), 0);
  const auto health = ask(server, AdminOp::kHealth);
  ::kill(pid, SIGCONT);
  EXPECT_FALSE(health.at("healthy").as_bool());
  EXPECT_THAT(std::string(health.at("pools").at(0).at("error").as_string()), HasSubstr("timeout"));
}

TEST(Operators, ASlowJobIsLoggedWithItsStack) {
  const Server server(one_worker("slow_job_ms = 50\n"));
  client::Client client = server.connect();
  ASSERT_TRUE(client.run(job("debug.spin", R"({"ms":600})")));
  EXPECT_TRUE(eventually([&] { return server.log().find("event=slow_job") != std::string::npos; }));
  EXPECT_THAT(server.log(), HasSubstr("debug.so"));
  EXPECT_EQ(server.pool().at("slow").to_number<int>(), 1);
}

}  // namespace
}  // namespace quern::test
