#include <gmock/gmock.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>

#include "tests/unit/sdk/fake_job.h"

namespace quern::sdk {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

// How a process ends that runs this job; exit code 42 when the job itself came back.
int status_of(const char* kind, const char* params, std::uint32_t attempt = 1) {
  const pid_t child = ::fork();
  if (child == 0) {
    FakeJob job(find_kind(kind), params);
    job.attempt_number = attempt;
    job.run();
    ::_exit(42);
  }
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  return status;
}

bool came_back(int status) { return WIFEXITED(status) && WEXITSTATUS(status) == 42; }
bool died_by(int signal, int status) { return WIFSIGNALED(status) && WTERMSIG(status) == signal; }

TEST(DebugModule, IsCalledDebug) { EXPECT_EQ(quern_job_module_v1()->name, "debug"); }

TEST(DebugEcho, GivesEveryPartBackUnderItsName) {
  FakeJob job(find_kind("debug.echo"));
  job.add_input("one", "first").add_input("", "empty").add_input("three").run();
  ASSERT_EQ(job.outputs.size(), 3U);
  EXPECT_EQ(job.outputs[0].name(), "first");
  EXPECT_EQ(job.outputs[0].size(), 3U);
  EXPECT_EQ(job.outputs[1].name(), "empty");
  EXPECT_EQ(job.outputs[1].size(), 0U);
  EXPECT_EQ(job.outputs[2].name(), "");
}

TEST(DebugEcho, OfNothingIsNothing) {
  FakeJob job(find_kind("debug.echo"));
  job.run();
  EXPECT_TRUE(job.outputs.empty());
}

TEST(DebugNoop, DoesNothing) {
  FakeJob job(find_kind("debug.noop"));
  job.run();
  EXPECT_TRUE(job.outputs.empty());
}

TEST(DebugSleep, SleepsAsLongAsItSays) {
  FakeJob job(find_kind("debug.sleep"), R"({"ms":20})");
  const auto began = Clock::now();
  job.run();
  EXPECT_GE(Clock::now() - began, milliseconds(20));
}

class Cooperative : public testing::TestWithParam<const char*> {};

TEST_P(Cooperative, StopsWhenAsked) {
  FakeJob job(find_kind(GetParam()), R"({"ms":60000})");
  job.polls_until_cancel = 3;
  EXPECT_EQ(error_of([&] { job.run(); }).code(), JobErrorCode::kCancelled);
}

INSTANTIATE_TEST_SUITE_P(Kinds, Cooperative, testing::Values("debug.sleep", "debug.spin", "debug.progress"));

TEST(DebugSpin, BurnsAsLongAsItSays) {
  FakeJob job(find_kind("debug.spin"), R"({"ms":20})");
  const auto began = Clock::now();
  job.run();
  EXPECT_GE(Clock::now() - began, milliseconds(20));
}

TEST(DebugIgnoreCancel, DoesNotEvenLook) {
  FakeJob job(find_kind("debug.ignore_cancel"), R"({"ms":1})");
  job.cancelled = true;
  job.run();
  EXPECT_EQ(job.polls, 0U);
  sigset_t blocked;
  ::sigprocmask(SIG_SETMASK, nullptr, &blocked);
  EXPECT_EQ(::sigismember(&blocked, SIGTERM), 0);
}

TEST(DebugExit, EndsTheProcessWithTheCode) {
  const int status = status_of("debug.exit", R"({"code":3})");
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 3);
}

TEST(DebugExit, BehavesFromTheGivenAttemptOn) {
  EXPECT_FALSE(came_back(status_of("debug.exit", R"({"until_attempt":3})", 2)));
  EXPECT_TRUE(came_back(status_of("debug.exit", R"({"until_attempt":3})", 3)));
}

TEST(DebugCrash, DiesByTheRealSignal) {
  EXPECT_TRUE(died_by(SIGSEGV, status_of("debug.crash", "{}")));
  EXPECT_TRUE(died_by(SIGABRT, status_of("debug.crash", R"({"signal":6})")));
  EXPECT_TRUE(died_by(SIGKILL, status_of("debug.crash", R"({"signal":9,"after_ms":1})")));
}

TEST(DebugCrash, BehavesFromTheGivenAttemptOn) {
  EXPECT_TRUE(died_by(SIGSEGV, status_of("debug.crash", R"({"until_attempt":2})", 1)));
  EXPECT_TRUE(came_back(status_of("debug.crash", R"({"until_attempt":2})", 2)));
}

TEST(DebugAllocate, SaysHowMuchItTouched) {
  FakeJob job(find_kind("debug.allocate"), R"({"bytes":10000000})");
  job.run();
  EXPECT_EQ(job.text(), "10000000\n");
}

TEST(DebugFail, FailsAsItIsTold) {
  FakeJob job(find_kind("debug.fail"), R"({"code":"too_large","message":"no","field":"width"})");
  const JobError error = error_of([&] { job.run(); });
  EXPECT_EQ(error.code(), JobErrorCode::kTooLarge);
  EXPECT_STREQ(error.what(), "no");
  EXPECT_EQ(error.field(), "width");
}

TEST(DebugFail, KnowsEveryCode) {
  const std::pair<const char*, JobErrorCode> codes[] = {{"invalid_argument", JobErrorCode::kInvalidArgument},
                                                        {"bad_input", JobErrorCode::kBadInput},
                                                        {"too_large", JobErrorCode::kTooLarge},
                                                        {"out_of_memory", JobErrorCode::kOutOfMemory},
                                                        {"cancelled", JobErrorCode::kCancelled},
                                                        {"internal", JobErrorCode::kInternal}};
  for (const auto& [name, code] : codes) {
    FakeJob job(find_kind("debug.fail"), R"({"code":")" + std::string(name) + "\"}");
    EXPECT_EQ(error_of([&] { job.run(); }).code(), code) << name;
  }
}

TEST(DebugProgress, ReportsEachStep) {
  FakeJob job(find_kind("debug.progress"), R"({"steps":3,"ms":1,"message":"step"})");
  job.run();
  EXPECT_THAT(job.messages, testing::Each("step"));
  EXPECT_THAT(job.reports, testing::ElementsAre(testing::Pair(1, 3), testing::Pair(2, 3), testing::Pair(3, 3)));
}

TEST(DebugProduce, MakesAResultOfTheGivenSize) {
  FakeJob job(find_kind("debug.produce"), R"({"bytes":1500000})");
  job.run();
  ASSERT_EQ(job.bytes().size(), 1'500'000U);
  EXPECT_EQ(job.bytes()[1'234'567], static_cast<std::byte>(1'234'567 % 251));
}

}  // namespace
}  // namespace quern::sdk
