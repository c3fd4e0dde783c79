#include "common/log.h"

#include <gtest/gtest.h>

namespace quern {
namespace {

TEST(Log, WritesLogfmtAndQuotesWhatNeedsIt) {
  EXPECT_EQ(format_event(LogFormat::kText, "worker_died", {{"pool", "image"}, {"pid", 7}, {"cause", "exit code 3"}}),
            "event=worker_died pool=image pid=7 cause=\"exit code 3\"");
}

TEST(Log, KeepsNumbersAsNumbersInJson) {
  EXPECT_EQ(format_event(LogFormat::kJson, "x", {{"n", 3}, {"s", "3"}}), R"("event":"x","n":3,"s":"3")");
}

TEST(Log, LetsNoControlCharacterThrough) {
  EXPECT_EQ(format_event(LogFormat::kText, "x", {{"s", "a\nb\x1b[31m\"c\""}}), R"(event=x s="a\nb\u001b[31m\"c\"")");
}

}  // namespace
}  // namespace quern
