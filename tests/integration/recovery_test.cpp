// Death in all its forms: of workers, of templates, of the supervisor. Each accepted job gets exactly
// one answer, and jobs beside it never notice.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <boost/json/array.hpp>
#include <fstream>
#include <future>
#include <random>

#include "tests/integration/held_job.h"
#include "tests/integration/server.h"

namespace quern::test {
namespace {

using client::Job;
using client::Part;
using ::testing::HasSubstr;

Job job(std::string kind, std::string params = "") {
  return {.kind = std::move(kind), .params_json = std::move(params)};
}

TEST(WorkerDeath, AKilledWorkersJobIsAnsweredByAFreshOne) {
  const Server server;
  client::Client client = server.connect();
  HeldJob held(client, 2);
  ASSERT_EQ(::kill(server.busy_worker(), SIGSEGV), 0);
  ASSERT_TRUE(eventually([&] { return server.pool().at("retried").to_number<int>() == 1; }));
  held.let_go();
  const auto result = held.get();
  ASSERT_TRUE(result) << to_string(result.error());
  EXPECT_EQ(result->info.attempts, 2U);
  EXPECT_EQ(server.deaths("signaled"), 1U);
  EXPECT_THAT(std::string(server.pool().at("last_death").at("cause").as_string()), HasSubstr("SIGSEGV"));
}

Job large() { return {.kind = "debug.echo", .parts = {Part::copy(std::string(100'000, 'x'))}}; }

// One that is answered, one that kills its worker, and one whose descriptor lies in the socket that dies.
std::vector<client::PendingJob> submit_three(client::Client& client) {
  std::vector<client::PendingJob> jobs;
  jobs.push_back(client.submit(large()));
  auto crash = job("debug.crash");
  crash.options.attempts = 1;
  jobs.push_back(client.submit(std::move(crash)));
  jobs.push_back(client.submit(large()));
  return jobs;
}

// Whether the worker was given all of `jobs`, once all have come to the server.
bool all_given(const Server& server, int jobs) {
  int queued = 0;
  EXPECT_TRUE(eventually([&] {
    const auto pool = server.pool();
    queued = pool.at("queued").to_number<int>();
    return queued + pool.at("running").to_number<int>() == jobs;
  }));
  return queued == 0;
}

TEST(WorkerDeath, WhatItAnsweredBeforeStandsThoughItsSupervisorSeesTheDeathFirst) {
  const Server server("[pools.debug]\nmodules = ['debug']\nworkers = 1\n");
  client::Client client = server.connect();
  const pid_t worker = server.only_worker();
  // It is given all three at once if its jobs were short of late, whatever else the machine had to do.
  std::vector<client::PendingJob> jobs;
  for (int round = 0; round < 50 && jobs.empty(); ++round) {
    for (int i = 0; i < 50; ++i) ASSERT_TRUE(client.run(large()));
    ASSERT_EQ(::kill(worker, SIGSTOP), 0);
    jobs = submit_three(client);
    if (all_given(server, 3)) break;
    jobs[1].cancel();
    EXPECT_EQ(jobs[1].get().error().code, ErrorCode::kCancelled) << "not begun: the worker lives";
    ::kill(worker, SIGCONT);
    EXPECT_TRUE(jobs[0].get() && jobs[2].get());
    jobs.clear();
  }
  ASSERT_EQ(jobs.size(), 3U) << "it is never given three jobs";
  server.signal(SIGSTOP);
  ::kill(worker, SIGCONT);
  const bool died = eventually([&] { return server.zombies() == 1; });
  server.signal(SIGCONT);
  ASSERT_TRUE(died);
  for (const std::size_t answered : {0U, 2U}) {
    const auto result = jobs[answered].get();
    ASSERT_TRUE(result) << to_string(result.error());
    EXPECT_EQ(result->info.attempts, 1U);
  }
  EXPECT_EQ(jobs[1].get().error().cause, (Cause{CauseKind::kSignaled, SIGSEGV}));
  EXPECT_EQ(server.deaths("signaled"), 1U);
}

TEST(WorkerDeath, AnExitIsADeathWithItsCode) {
  const Server server;
  client::Client client = server.connect();
  const auto retried = client.run(job("debug.exit", R"({"code":3,"until_attempt":2})"));
  ASSERT_TRUE(retried) << to_string(retried.error());
  EXPECT_EQ(retried->info.attempts, 2U);
  EXPECT_EQ(server.deaths("exited"), 1U);
  const auto failed = client.run(job("debug.exit", R"({"code":0})"));
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().cause, (Cause{CauseKind::kExited, 0})) << "even an exit 0 in the middle of a job";
}

TEST(WorkerDeath, AJobThatAlwaysCrashesFailsNamingTheSignalAndOthersNeverNotice) {
  const Server server;
  client::Client client = server.connect();
  HeldJob neighbour(client);
  (void)server.busy_worker();
  auto poison = job("debug.crash", R"({"signal":6})");
  poison.options.attempts = 3;
  const auto failed = client.run(std::move(poison));
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, ErrorCode::kWorkerCrashed);
  EXPECT_EQ(failed.error().cause, (Cause{CauseKind::kSignaled, SIGABRT}));
  EXPECT_GT(failed.error().job_id, 0U);
  neighbour.let_go();
  const auto result = neighbour.get();
  ASSERT_TRUE(result) << to_string(result.error());
  EXPECT_EQ(result->info.attempts, 1U) << "it was never disturbed";
  EXPECT_EQ(server.deaths("signaled"), 3U);
}

TEST(WorkerDeath, OneAttemptMeansAtMostOnce) {
  const Server server;
  client::Client client = server.connect();
  auto once = job("debug.crash", R"({"until_attempt":2})");
  once.options.attempts = 1;
  EXPECT_EQ(client.run(std::move(once)).error().code, ErrorCode::kWorkerCrashed);
}

TEST(WorkerDeath, WhatTheSandboxForbidsIsNamed) {
  const Server server;
  client::Client client = server.connect();
  for (const char* call : {"exec", "kill"}) {
    auto attempt = job("debug.forbidden", std::string("{\"call\":\"") + call + "\"}");
    attempt.options.attempts = 1;
    const auto failed = client.run(std::move(attempt));
    ASSERT_FALSE(failed) << call;
    EXPECT_EQ(failed.error().cause.kind, CauseKind::kSandboxViolation) << call;
  }
}

TEST(WorkerDeath, ACrashLoopBacksOffAndEndsByItself) {
  const Server server(debug_pool("attempts = 1\nquarantine_deaths = 0\n"));
  client::Client client = server.connect();
  Error refused;
  EXPECT_TRUE(eventually([&] {
    const auto crash = client.run(job("debug.crash"));
    if (crash || crash.error().code == ErrorCode::kWorkerCrashed) return false;
    refused = crash.error();
    return true;
  })) << "deaths in a row are delayed in the end";
  EXPECT_EQ(refused.code, ErrorCode::kUnavailable) << "no worker is there, and none before the delay is over";
  EXPECT_EQ(refused.cause, (Cause{CauseKind::kSignaled, SIGSEGV}));
  EXPECT_GT(refused.retry_after_ms, 0U);
  EXPECT_EQ(server.pool().at("state").as_string(), "degraded");
  EXPECT_TRUE(eventually([&] { return client.run(job("debug.noop")).has_value(); })) << "recovers by itself";
  EXPECT_TRUE(eventually([&] { return server.pool().at("state").as_string() == "running"; }));
  EXPECT_THAT(server.log(), HasSubstr("event=pool_degraded"));
}

TEST(WorkerDeath, AStormOfKillsLosesNoJob) {
  const Server server(debug_pool("attempts = 10\nqueue_jobs_max = 5000\n"));
  client::Client client = server.connect();
  constexpr int kJobs = 3000;
  std::atomic<int> right{0};
  std::atomic<int> answered{0};
  for (int i = 0; i < kJobs; ++i) {
    Job echo{.kind = i % 3 == 0 ? "debug.sleep" : "debug.echo"};
    if (i % 3 == 0) {
      echo.params_json = R"({"ms":1})";
    } else {
      echo.parts = {Part::copy(std::to_string(i))};
    }
    client.submit(std::move(echo), [&, i](Result<client::JobResult> result) {
      if (result && (i % 3 == 0 || result->parts[0].text() == std::to_string(i))) ++right;
      ++answered;
    });
  }
  std::minstd_rand random(3);
  while (answered < kJobs) {
    const auto pool = server.pool();
    const auto& workers = pool.at("workers").as_array();
    if (!workers.empty()) {
      const auto pid = static_cast<pid_t>(workers[random() % workers.size()].at("pid").as_int64());
      if (pid > 0) ::kill(pid, SIGKILL);
    }
    ASSERT_TRUE(eventually([&, before = answered.load()] { return answered > before || answered == kJobs; }, 30s))
        << "nothing moves";
  }
  EXPECT_EQ(right, kJobs);
  EXPECT_GT(server.deaths("signaled"), 3U);
}

TEST(TemplateDeath, WorkersLiveOnAndItIsStartedAgain) {
  const Server server;
  client::Client client = server.connect();
  HeldJob running(client, 2);
  const pid_t busy = server.busy_worker();
  const pid_t template_pid = server.template_pid();
  ASSERT_GT(template_pid, 0);
  ::kill(template_pid, SIGKILL);
  EXPECT_TRUE(eventually([&] { return server.log().find("event=template_restarted") != std::string::npos; }));
  ::kill(busy, SIGKILL);  // and the new one can fork
  ASSERT_TRUE(eventually([&] { return server.pool().at("retried").to_number<int>() == 1; }));
  running.let_go();
  const auto result = running.get();
  ASSERT_TRUE(result) << to_string(result.error());
  EXPECT_EQ(result->info.attempts, 2U);
}

TEST(TemplateDeath, DuringARestartLeavesOneTemplate) {
  const Server server;
  const std::size_t before = server.children().size();
  for (int round = 0; round < 30; ++round) {
    auto restarted = std::async(std::launch::async, [&] { return server.operate(wire::AdminOp::kRestart, "debug"); });
    const auto pid = server.template_pid();
    if (pid > 0) ::kill(pid, SIGKILL);
    (void)restarted.get();  // it may have failed with its template
  }
  EXPECT_TRUE(eventually([&] { return server.children().size() == before; }))
      << before << " children before, " << server.children().size() << " now";
  EXPECT_TRUE(server.connect().run(job("debug.noop")));
}

TEST(SupervisorDeath, LeavesNoProcessAndNothingThatBlocksTheNextStart) {
  Server server;
  client::Client client = server.connect();
  auto running = client.submit(job("debug.sleep", R"({"ms":20000})"));
  (void)server.busy_worker();
  const auto children = server.children();
  ASSERT_EQ(children.size(), 3U) << "a template and two workers";
  server.signal(SIGKILL);
  EXPECT_EQ(server.wait(), 128 + SIGKILL);
  for (const pid_t child : children) {
    EXPECT_TRUE(eventually([&] {
      std::ifstream stat("/proc/" + std::to_string(child) + "/stat");
      std::string text((std::istreambuf_iterator<char>(stat)), {});
      return text.empty() || text.find(") Z ") != std::string::npos;
    })) << child;
  }
  EXPECT_EQ(running.get().error().code, ErrorCode::kUnreachable);
  server.start();
  EXPECT_TRUE(server.connect().run(job("debug.noop")));
}

TEST(SupervisorDeath, ASecondInstanceIsRefused) {
  const Server server;
  const auto second = run({QUERND, "--runtime-dir", server.directory()});
  EXPECT_EQ(second.exit_code, 1);
  EXPECT_THAT(second.err, HasSubstr("another quernd is running"));
  EXPECT_TRUE(server.connect().ping()) << "and the first one's sockets are untouched";
}

TEST(Leaks, AThousandJobsAndDeathsLeaveNoDescriptorBehind) {
  const Server server(debug_pool("attempts = 1\nquarantine_deaths = 0\n"));
  const auto round = [&] {
    client::Client client = server.connect();
    std::vector<std::future<Result<client::JobResult>>> answers;
    for (int i = 0; i < 50; ++i) {
      answers.push_back(client.submit(large()));
      if (i % 10 == 0) answers.push_back(client.submit(job("debug.crash")));
      answers.push_back(client.submit(job("debug.noop")));
    }
    for (auto& answer : answers) (void)answer.get();
  };
  Operator op(server);
  const auto settled = [&] { return eventually([&] { return op.at_rest(); }); };
  round();
  ASSERT_TRUE(settled());
  const std::size_t before = server.open_fds();
  for (int i = 0; i < 5; ++i) round();
  ASSERT_TRUE(settled());
  EXPECT_TRUE(eventually([&] { return server.open_fds() <= before; }))
      << before << " before, " << server.open_fds() << " now";
}

}  // namespace
}  // namespace quern::test
