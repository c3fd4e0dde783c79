// The health kind: in this process with kinds made up for it, and in real workers with the built-in ones.
#include "worker/health.h"

#include <gmock/gmock.h>

#include "fake_supervisor.h"
#include "tests/unit/sdk/fake_job.h"

namespace quern::worker {
namespace {

using ::testing::HasSubstr;

sdk::Kind bird(std::string name, std::function<void(sdk::Job&)> run, sdk::Canary canary = {}) {
  sdk::Kind kind;
  kind.name = std::move(name);
  kind.params = {{.name = "note", .help = "", .fallback = "la"}};
  kind.input = {.parts_min = 0, .parts_max = 1, .help = ""};
  kind.run = std::move(run);
  kind.canary = std::move(canary);
  return kind;
}

TEST(Health, RunsEveryCanaryInTurnWithItsParametersAndInput) {
  std::string sung;
  const auto sing = [&](sdk::Job& job) {
    sung += job.string("note");
    for (const sdk::InputPart& part : job.inputs()) sung += "+" + std::to_string(part.bytes.size());
    sung += " ";
    job.output().write("thrown away");
  };
  const sdk::Kind first = bird("a.first", sing, {.params_json = R"({"note":"do"})"});
  const sdk::Kind second = bird("a.second", sing, {.input = "four"});
  sdk::Kind mute = bird("a.mute", sing);
  mute.canary.reset();
  const sdk::Kind health = make_health_kind("aviary", {&first, &mute, &second});
  EXPECT_EQ(health.name, "health.aviary");
  sdk::FakeJob job(health);
  job.run();
  EXPECT_EQ(sung, "do la+4 ");
  EXPECT_TRUE(job.outputs.empty());
}

TEST(Health, NamesTheKindThatFailedAndWhatItSaid) {
  bool reached = false;
  const sdk::Kind good = bird("a.good", [](sdk::Job&) {});
  const sdk::Kind bad =
      bird("a.bad", [](sdk::Job&) { throw sdk::JobError(sdk::JobErrorCode::kBadInput, "no voice today"); });
  const sdk::Kind last = bird("a.last", [&](sdk::Job&) { reached = true; });
  const sdk::Kind health = make_health_kind("aviary", {&good, &bad, &last});
  sdk::FakeJob job(health);
  const sdk::JobError error = sdk::error_of([&] { job.run(); });
  EXPECT_EQ(error.code(), sdk::JobErrorCode::kInternal);
  EXPECT_STREQ(error.what(), "the canary of a.bad failed: no voice today");
  EXPECT_FALSE(reached);
}

TEST(Health, WithoutCanariesJustSucceeds) {
  const sdk::Kind health = make_health_kind("empty", {});
  sdk::FakeJob job(health);
  EXPECT_NO_THROW(job.run());
}

TEST(Health, StopsWhenItIsCancelled) {
  const sdk::Kind patient = bird("a.patient", [](sdk::Job& job) {
    for (;;) job.throw_if_cancelled();
  });
  const sdk::Kind health = make_health_kind("aviary", {&patient});
  sdk::FakeJob job(health);
  job.polls_until_cancel = 10;
  EXPECT_EQ(sdk::error_of([&] { job.run(); }).code(), sdk::JobErrorCode::kCancelled);
}

TEST(Health, ACanaryItsKindWouldRefuseIsRefused) {
  EXPECT_NO_THROW(check_canary(bird("a.b", {}, {.params_json = R"({"note":"do"})", .input = "x"})));
  EXPECT_THROW(check_canary(bird("a.b", {}, {.params_json = R"({"note":1})"})), sdk::JobError);
  sdk::Kind hungry = bird("a.b", {});
  hungry.input.parts_min = 1;
  EXPECT_THROW(check_canary(hungry), sdk::JobError);
}

TEST(Health, TheBuiltInKindsAreHealthyInAWorker) {
  test::FakeSupervisor supervisor({QUERN_DEBUG_MODULE, QUERN_HASH_MODULE, QUERN_IMAGE_MODULE});
  ASSERT_EQ(supervisor.load_failure(), "");
  const auto worker = supervisor.spawn();
  const auto answer = worker->run({.kind = supervisor.kind("health.test")});
  ASSERT_TRUE(answer);
  EXPECT_FALSE(answer->error) << to_string(*answer->error);
  EXPECT_TRUE(answer->parts.empty());
}

}  // namespace
}  // namespace quern::worker
