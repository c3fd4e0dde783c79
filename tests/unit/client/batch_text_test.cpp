// What `quern batch` says.
#include "client/cli/batch_text.h"

#include <gmock/gmock.h>

#include <boost/json/serialize.hpp>

namespace quern::cli {
namespace {

using namespace std::chrono_literals;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ResultOf;
using ::testing::SizeIs;

const Error kBad{.code = ErrorCode::kBadInput, .message = "no picture\x1b[2J", .job_id = 7};

BatchView view(std::uint64_t done, std::uint64_t known, bool all_known) {
  return {.totals = {.done = done, .failed = 3}, .known = known, .all_known = all_known, .elapsed = 10s};
}

TEST(BatchText, ShowsTheWholeAndWhatRuns) {
  const RunningFile told{.input = "photos/large.png", .running = 2s, .progress = {.done = 45, .total = 100}};
  const RunningFile silent{.input = "photos/b.png", .running = 1500ms};
  EXPECT_THAT(batch_lines(view(47, 100, true), std::vector{told, silent}, {.rows = 24, .columns = 72}),
              ElementsAre(" 50% [==============>              ] 50/100  3 failed  5.0/s  10.0s left",
                          "  photos/large.png  45% 45/100", "  photos/b.png  1.5s"));
  EXPECT_THAT(batch_lines(view(47, 54, false), {}, {.rows = 24, .columns = 72}),
              ElementsAre("| 50 of 54 so far  3 failed  5.0/s  10.0s"));
}

TEST(BatchText, FitsTheTerminal) {
  const std::vector<RunningFile> many(100,
                                      {.input = "写真/" + std::string(300, 'x') + ".png", .progress = {.done = 7}});
  for (std::size_t columns = 0; columns < 100; ++columns) {
    const auto lines = batch_lines(view(47, 100, true), many, {.rows = 10, .columns = columns});
    EXPECT_THAT(lines, SizeIs(6)) << "half of the terminal, and the bar";
    EXPECT_THAT(lines, Each(ResultOf(columns_of, ::testing::Le(columns))));
  }
  EXPECT_THAT(batch_lines(view(47, 100, true), many, {.rows = 10, .columns = 40})[1], HasSubstr("xx.png  done 7"))
      << "a file's name matters more than its folder's";
}

TEST(BatchText, GuessesTheTimeFromWhatWasWorkNotFromWhatWasSkipped) {
  BatchView most_skipped = view(7, 1000, true);
  most_skipped.totals.skipped = 890;
  EXPECT_THAT(batch_log_line(most_skipped), HasSubstr("900/1000  3 failed  1.0/s  1m40s left"));
}

TEST(BatchText, OfAFileHasNothingThatATerminalObeys) {
  EXPECT_EQ(outcome_text({.input = "a\n.png", .end = FileEnd::kFailed, .error = kBad}),
            "a?.png: bad_input: no picture?[2J");
  EXPECT_EQ(
      outcome_text({.input = "a.png", .output = "o/a.webp", .input_bytes = 2048, .output_bytes = 9, .wall = 12ms}),
      "a.png -> o/a.webp, 2.0 KiB -> 9 B, 12 ms");
  EXPECT_EQ(outcome_text({.input = "a.png", .output = "o/a.webp", .end = FileEnd::kSkipped}),
            "a.png: skipped, o/a.webp is there");
}

TEST(BatchText, SumsUp) {
  BatchView all = view(47, 50, true);
  all.totals.input_bytes = 3 << 20;
  EXPECT_EQ(summary_text(all), "47 done, 3 failed, in 10.0s; 3.0 MiB read, 0 B written");
  EXPECT_EQ(boost::json::serialize(summary_json(all, "interrupted")),
            R"({"summary":{"done":47,"skipped":0,"failed":3,"cancelled":0,"input_bytes":3145728,"output_bytes":0,)"
            R"("wall_ms":10000,"stopped":"interrupted"}})");
}

TEST(BatchText, IsJsonWhateverANameIs) {
  EXPECT_EQ(
      boost::json::serialize(
          outcome_json({.input = "a\xff\n", .end = FileEnd::kFailed, .error = {.message = "m", .field = "f"}})),
      "{\"input\":\"a\xef\xbf\xbd\\n\",\"ok\":false,\"end\":\"failed\",\"error\":{\"code\":\"internal\",\"message\":"
      "\"m\",\"field\":\"f\"},\"input_bytes\":0,\"output_bytes\":0,\"wall_ms\":0}");
}

}  // namespace
}  // namespace quern::cli
