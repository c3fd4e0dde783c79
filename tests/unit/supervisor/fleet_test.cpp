// A fleet with real workers: what the supervisor learns from them while they run.
#include "supervisor/fleet.h"

#include <gmock/gmock.h>
#include <signal.h>
#include <sys/wait.h>

#include <thread>

#include "common/sanitizer.h"
#include "fleet_harness.h"

namespace quern::supervisor {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

using Symbols = Result<std::vector<std::string>>;

// Asks for the names of what the last stack has.
void ask_for_names(FleetHarness& harness, std::optional<Symbols>& names) {
  boost::asio::co_spawn(harness.io, harness.fleet.symbolize(*harness.serving.back(), harness.stack),
                        [&](std::exception_ptr, Symbols found) { names = std::move(found); });
}

TEST(FleetStack, OfARunningJobHasTheModuleInIt) {
  FleetHarness harness;
  Job& job = harness.give("debug.spin", R"({"ms":60000})");
  harness.run_until([&] { return job.worker->begun(job); });
  ASSERT_TRUE(job.worker->request_stack(job));
  harness.run_until([&] { return harness.have_stack; });
  EXPECT_LE(harness.stack.size(), ipc::kStackFramesMax);
  std::optional<Symbols> names;
  ask_for_names(harness, names);
  harness.run_until([&] { return names.has_value(); });
  ASSERT_TRUE(*names) << to_string(names->error());
  EXPECT_EQ((*names)->size(), harness.stack.size());
  EXPECT_THAT(**names, Contains(HasSubstr("debug.so")));
}

TEST(FleetStack, CanBeAskedForAgainAndAgainAndTheJobGoesOn) {
  FleetHarness harness;
  Job& job = harness.give("debug.sleep", R"({"ms":200})");
  harness.run_until([&] { return job.worker->begun(job); });
  for (int i = 0; i < 20 && job.worker != nullptr; ++i) {
    harness.have_stack = false;
    if (!job.worker->request_stack(job)) break;
    harness.run_until([&] { return harness.have_stack || job.worker == nullptr; });
  }
  harness.run_until([&] { return harness.answers.contains(job.id); });
  EXPECT_FALSE(harness.answers.at(job.id)) << "it was answered with its result";
}

TEST(FleetStack, IsNotAskedOfAnotherJob) {
  FleetHarness harness;
  const Job& first = harness.give("debug.spin", R"({"ms":60000})");
  const Job& second = harness.give("debug.echo");
  EXPECT_FALSE(first.worker->request_stack(second));
}

TEST(FleetStack, OfAModuleThatBlocksTheSignalDoesNotComeAndHarmsNothing) {
  FleetHarness harness;
  Job& job = harness.give("debug.ignore_cancel", R"({"ms":100})");
  harness.run_until([&] { return job.worker->begun(job); });
  (void)job.worker->request_stack(job);
  harness.run_until([&] { return harness.answers.contains(job.id); });
  EXPECT_FALSE(harness.answers.at(job.id));
  EXPECT_TRUE(harness.deaths.empty());
}

TEST(FleetStack, HasNoNamesWithoutItsTemplate) {
  FleetHarness harness;
  Job& job = harness.give("debug.spin", R"({"ms":60000})");
  harness.run_until([&] { return job.worker->begun(job); });
  ASSERT_TRUE(job.worker->request_stack(job));
  harness.run_until([&] { return harness.have_stack; });
  ASSERT_EQ(::kill(job.worker->template_pid, SIGKILL), 0);
  std::optional<Symbols> names;
  ask_for_names(harness, names);
  harness.run_until([&] { return names.has_value(); });
  ASSERT_FALSE(*names) << "an answer all the same";
  EXPECT_EQ(names->error().code, ErrorCode::kUnavailable);
}

// What keeps a kill for one job's sake from the next one: the answer is seen before its bell is heard.
TEST(FleetAnswers, AreThereBeforeTheBellIsHeard) {
  FleetHarness harness;
  Job& first = harness.give("debug.noop");
  Job& next = harness.give("debug.sleep", R"({"ms":60000})");
  Worker& worker = *first.worker;
  while (!worker.begun(next)) std::this_thread::yield();  // the loop does not turn
  EXPECT_TRUE(worker.is_over(first));
  EXPECT_FALSE(worker.is_over(next));
  EXPECT_TRUE(harness.answers.empty());
  worker.take_answers();
  EXPECT_TRUE(harness.answers.contains(first.id));
  EXPECT_EQ(worker.running(), &next);
  EXPECT_TRUE(harness.deaths.empty());
}

TEST(FleetDeath, FromOutsideStaysOneThoughAJobWithDescriptorsIsGivenToTheDead) {
  FleetHarness harness;
  Job& running = harness.give("debug.sleep", R"({"ms":60000})");
  Worker& worker = *running.worker;
  while (!worker.begun(running)) std::this_thread::yield();
  ASSERT_EQ(::kill(worker.pid(), SIGKILL), 0);
  siginfo_t ended{};
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(worker.pid()), &ended, WEXITED | WNOWAIT), 0);
  Job& large = harness.jobs.emplace_back();
  large.kind = running.kind;
  large.body.resize(1U << 20);  // more than a slot holds
  EXPECT_FALSE(worker.publish(large, now_ns()).value());
  harness.run_until([&] { return !harness.deaths.empty(); });
  EXPECT_EQ(harness.deaths.front(), (Cause{CauseKind::kSignaled, SIGKILL}));
}

TEST(FleetMemory, AWorkerThatDiesOfAFailedAllocationDiesOfMemory) {
  if (kSanitized) GTEST_SKIP() << "a sanitizer's allocator dies in its own way";
  FleetOptions options;
  options.template_options.memory_bytes_max = 64U << 20;
  FleetHarness harness(std::move(options));
  harness.give("debug.allocate", R"({"bytes":1e9,"on_failure":"abort"})");
  harness.run_until([&] { return harness.deaths.size() == 1 && !harness.serving.empty(); });
  EXPECT_EQ(harness.deaths[0].kind, CauseKind::kOutOfMemory);
  harness.give("debug.crash", R"({"signal":6})");
  harness.run_until([&] { return harness.deaths.size() == 2; });
  EXPECT_EQ(harness.deaths[1], (Cause{CauseKind::kSignaled, SIGABRT}));
}

}  // namespace
}  // namespace quern::supervisor
