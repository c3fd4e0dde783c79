#include "client/cli/progress_bar.h"

#include <gmock/gmock.h>

#include "client/cli/terminal.h"

namespace quern::cli {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(ProgressBar, ShowsShareCountsTimeLeftAndMessage) {
  EXPECT_EQ(progress_bar({.done = 25, .total = 100, .message = "encoding"}, 4000ms, 60),
            " 25% [======>                 ] 25/100  12.0s left  encoding");
  EXPECT_EQ(progress_bar({.done = 0, .total = 4}, 0ms, 24), "  0% [>            ] 0/4");
  EXPECT_EQ(progress_bar({.done = 4, .total = 4}, 0ms, 24), "100% [=============] 4/4");
}

TEST(ProgressBar, IsNeverWiderThanItMayBe) {
  const wire::Progress progress{.done = 25, .total = 100, .message = "画像を変換しています"};
  for (std::size_t columns = 0; columns < 80; ++columns) {
    EXPECT_LE(columns_of(progress_bar(progress, 4000ms, columns)), columns);
    EXPECT_LE(columns_of(progress_bar({.done = 7}, 4000ms, columns)), columns);
  }
  EXPECT_EQ(progress_bar({.done = 25, .total = 100}, 0ms, 12), " 25% 25/100") << "too narrow for a bar";
}

TEST(ProgressBar, OfWhatHasNoKnownEndIsASpinner) {
  EXPECT_EQ(progress_bar({.done = 43, .message = "reading"}, 4200ms, 60), "- done 43  4.2s  reading");
  EXPECT_EQ(progress_bar({}, 300ms, 60), "\\ 0.3s");
  EXPECT_NE(spinner(0ms), spinner(100ms));
}

TEST(ProgressBar, BelievesNoWorkerBeyondAllOfIt) {
  EXPECT_THAT(progress_bar({.done = UINT64_MAX, .total = 3}, 5000ms, 60), HasSubstr("100% ["));
  EXPECT_THAT(progress_bar({.done = 1, .total = 2, .message = "a\x1b[2Jb\nc\xc2\x9b"}, 0ms, 60),
              HasSubstr("a?[2Jb?c?"));
}

TEST(ProgressBar, Says100OnlyWhenAllIsDone) {
  EXPECT_EQ(percent_of(999'999, 1'000'000), 99);
  EXPECT_EQ(percent_of(7, 7), 100);
}

TEST(TimeLeft, IsSaidOnceItIsMoreThanAGuess) {
  EXPECT_EQ(time_left(50, 100, 2000ms), 2000ms);
  EXPECT_FALSE(time_left(50, 100, 900ms)) << "too early";
  EXPECT_FALSE(time_left(1, 100, 5000ms)) << "too little";
  EXPECT_FALSE(time_left(50, 0, 5000ms)) << "of what?";
  EXPECT_FALSE(time_left(100, 100, 5000ms)) << "nothing is left";
}

TEST(ProgressLine, IsPlainText) {
  EXPECT_EQ(progress_line({.done = 43, .total = 100, .message = "encoding"}), "43% 43/100  encoding");
  EXPECT_EQ(progress_line({.done = 43}), "done 43");
}

}  // namespace
}  // namespace quern::cli
