#include "worker/sdk/job.h"

#include <gmock/gmock.h>

#include "tests/unit/sdk/fake_job.h"
#include "worker/sdk/object.h"

namespace quern::sdk {
namespace {

namespace json = boost::json;

Kind kind_with(std::function<void(Job&)> run) {
  return {.name = "test.kind",
          .summary = "",
          .params = {{.name = "text", .help = "", .fallback = "hello"},
                     {.name = "count", .type = ParamType::kInteger, .help = "", .fallback = 3},
                     {.name = "ratio", .type = ParamType::kNumber, .help = "", .fallback = 0.5},
                     {.name = "loud", .type = ParamType::kBoolean, .help = "", .fallback = true},
                     {.name = "weights", .type = ParamType::kNumbers, .help = "", .fallback = {1, 0.5}},
                     {.name = "steps",
                      .type = ParamType::kList,
                      .help = "",
                      .fallback = json::array{json::object{{"mm", 3}}},
                      .items = {{.name = "a step",
                                 .help = "",
                                 .params = {{.name = "mm", .type = ParamType::kInteger, .help = ""},
                                            {.name = "by", .help = "", .fallback = "hand"}}}}},
                     {.name = "absent", .help = ""}},
          .input = {},
          .output = "",
          .run = std::move(run)};
}

TEST(Job, ParametersAreReadByTheirType) {
  const Kind kind = kind_with([](Job& job) {
    EXPECT_EQ(job.string("text"), "hello");
    EXPECT_EQ(job.integer("count"), 3);
    EXPECT_EQ(job.number("ratio"), 0.5);
    EXPECT_EQ(job.number("count"), 3.0);
    EXPECT_TRUE(job.boolean("loud"));
    EXPECT_TRUE(job.has("text"));
    EXPECT_FALSE(job.has("absent"));
    EXPECT_THAT(job.numbers("weights"), testing::ElementsAre(1, 0.5));
    const json::object& step = job.list("steps").at(0).as_object();
    EXPECT_EQ(integer(step, "mm"), 3);
    EXPECT_EQ(string(step, "by"), "hand");
  });
  FakeJob(kind).run();
}

TEST(Job, AnAbsentParameterThrowsInsteadOfInventingAValue) {
  const Kind kind = kind_with([](Job& job) { (void)job.string("absent"); });
  EXPECT_ANY_THROW(FakeJob(kind).run());
}

TEST(Job, ThrowIfCancelledThrowsOnlyThen) {
  const Kind kind = kind_with([](Job& job) { job.throw_if_cancelled(); });
  FakeJob job(kind);
  EXPECT_NO_THROW(job.run());
  job.cancelled = true;
  EXPECT_EQ(error_of([&] { job.run(); }).code(), JobErrorCode::kCancelled);
}

TEST(Output, WriteAppends) {
  const Kind kind = kind_with([](Job& job) {
    Output& output = job.output();
    output.write("mill");
    output.write("");
    output.write(std::span<const std::byte>());
    output.write("stone");
    EXPECT_EQ(output.size(), 9U);
  });
  FakeJob job(kind);
  job.run();
  EXPECT_EQ(job.text(), "millstone");
}

TEST(Output, WritePastTheLimitIsTooLarge) {
  const Kind kind = kind_with([](Job& job) { job.output().write("too long"); });
  FakeJob job(kind);
  job.result_bytes_max = 4;
  EXPECT_EQ(error_of([&] { job.run(); }).code(), JobErrorCode::kTooLarge);
}

}  // namespace
}  // namespace quern::sdk
