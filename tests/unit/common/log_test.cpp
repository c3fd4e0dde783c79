#include "common/log.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

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

// What a fresh configuration writes for one event. `stream` becomes $JOURNAL_STREAM; "right" stands for the
// value that systemd would set for this standard error.
std::string written(const LogConfig& config, std::string stream) {
  ::testing::internal::CaptureStderr();
  struct stat info {};
  ::fstat(STDERR_FILENO, &info);
  if (stream == "right") stream = fmt::format("{}:{}", info.st_dev, info.st_ino);
  ::setenv("JOURNAL_STREAM", stream.c_str(), 1);
  configure_log(config);
  log_event(LogLevel::kWarn, "x", {{"n", 3}});
  ::unsetenv("JOURNAL_STREAM");
  return ::testing::internal::GetCapturedStderr();
}

TEST(Log, TellsTheJournalThePriorityAndLeavesTheTimeToIt) {
  EXPECT_EQ(written({}, "right"), "<4>event=x n=3\n");
  EXPECT_THAT(written({.format = LogFormat::kJson}, "right"), ::testing::StartsWith("<4>{\"time\":"));
}

TEST(Log, WritesTimeAndLevelWhereNobodyElseDoes) {
  const auto line = "....-..-..T..:..:..\\....Z warn event=x n=3\n";
  EXPECT_THAT(written({}, ""), ::testing::MatchesRegex(line));
  EXPECT_THAT(written({}, "1:1"), ::testing::MatchesRegex(line)) << "the variable is another process's journal";
  EXPECT_THAT(written({.format = LogFormat::kJson}, ""), ::testing::HasSubstr("\"level\":\"warn\",\"event\":\"x\""));
}

TEST(Log, LeavesOutWhatIsBelowItsLevel) { EXPECT_EQ(written({.level = LogLevel::kError}, ""), ""); }

}  // namespace
}  // namespace quern
