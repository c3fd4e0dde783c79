// What `quern run` shows of a job's progress, and when it shows nothing.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <chrono>

#include "client/cli/job_progress.h"
#include "tests/integration/on_terminal.h"
#include "tests/integration/server.h"

namespace quern::test {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr std::string_view kErased = "\r\x1b[J";

std::vector<std::string> watched(std::vector<std::string> more = {}) {
  std::vector<std::string> words{"run", "debug.progress", "--steps", "1000", "--ms", "20", "--message", "baking"};
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

TEST(Progress, OfALongJobIsABarThatLeavesNoTrace) {
  const Server server;
  OnTerminal terminal(server, {"run", "debug.progress", "--steps", "12", "--ms", "100", "--message", "baking\x1b[2J"});
  EXPECT_TRUE(terminal.shows("/12")) << terminal.seen();
  EXPECT_TRUE(terminal.shows("baking?[2J")) << "what a worker says is no command to the terminal";
  EXPECT_EQ(terminal.exit_code(), 0);
  EXPECT_THAT(terminal.seen(), EndsWith(std::string(kErased) + "done\r\n"));
}

TEST(Progress, OfAFastJobIsNotShown) {
  const Server server;
  for (int run = 0; run < 10; ++run) {
    const auto began = std::chrono::steady_clock::now();
    OnTerminal terminal(server, {"run", "debug.progress", "--steps", "1", "--ms", "0"});
    EXPECT_EQ(terminal.exit_code(), 0);
    if (terminal.seen() == "done\r\n") return;
    ASSERT_GE(std::chrono::steady_clock::now() - began, cli::kPatience) << terminal.seen();
  }
  FAIL() << "no run was fast";
}

TEST(Progress, IsErasedBeforeAnErrorIsSaid) {
  const Server server;
  OnTerminal terminal(server, watched({"--run-timeout-ms", "2000"}));
  EXPECT_EQ(terminal.exit_code(), 6);
  EXPECT_THAT(terminal.seen(), HasSubstr(std::string(kErased) + "quern: timeout"));
}

TEST(Progress, IsErasedWhenASecondSignalEndsTheWait) {
  const Server server("[pools.debug]\nmodules = ['debug']\nworkers = 1\ncancel_grace_ms = 60000\n");
  OnTerminal terminal(server, {"run", "debug.ignore_cancel", "--ms", "60000"});
  EXPECT_TRUE(terminal.shows("\x1b[K")) << "it tells no progress, but time passes";
  const pid_t worker = server.busy_worker();
  terminal.signal(SIGINT);
  EXPECT_TRUE(eventually([&] { return server.is_stopping_a_job(); })) << "or both signals are one";
  terminal.forget();
  EXPECT_TRUE(terminal.shows("\x1b[K"));
  terminal.signal(SIGINT);
  EXPECT_EQ(terminal.exit_code(), 8);
  EXPECT_THAT(terminal.seen(), EndsWith(kErased));
  ::kill(worker, SIGKILL);  // who waits for the end of its grace?
}

TEST(Progress, FollowsTheWidthOfTheWindow) {
  const Server server;
  OnTerminal terminal(server, watched());
  EXPECT_TRUE(terminal.shows("baking"));
  terminal.resize(20, 12);
  const auto last_line = [&] {
    const std::string& seen = terminal.seen();
    const auto end = seen.rfind("\x1b[K");
    const auto begin = end == std::string::npos ? end : seen.rfind('\r', end);
    return begin == std::string::npos ? std::string() : seen.substr(begin + 1, end - begin - 1);
  };
  EXPECT_TRUE(eventually([&] {
    terminal.forget();
    return terminal.shows("\x1b[K") && last_line().size() <= 12;
  })) << last_line();
  terminal.signal(SIGINT);
  EXPECT_EQ(terminal.exit_code(), 8);
}

TEST(Progress, IsNotShownWhereItWasNotAskedFor) {
  const Server server;
  const Ended plain = quern(server, {"run", "debug.progress", "--steps", "5", "--ms", "100"});
  EXPECT_EQ(plain.out, "done\n");
  EXPECT_EQ(plain.err, "") << "standard error is no terminal";
  OnTerminal off(server, {"run", "debug.progress", "--steps", "5", "--ms", "100", "--no-progress"});
  EXPECT_EQ(off.exit_code(), 0);
  EXPECT_EQ(off.seen(), "done\r\n");
  OnTerminal dumb(server, {"run", "debug.progress", "--steps", "5", "--ms", "100"}, "dumb");
  EXPECT_EQ(dumb.exit_code(), 0);
  EXPECT_EQ(dumb.seen(), "done\r\n");
}

TEST(Progress, OffATerminalIsALineASecond) {
  const Server server;
  const Ended lines = quern(server, {"run", "debug.progress", "--steps", "14", "--ms", "100", "--progress"});
  EXPECT_EQ(lines.exit_code, 0);
  EXPECT_EQ(lines.out, "done\n");
  EXPECT_THAT(lines.err, HasSubstr("/14\n"));
  EXPECT_THAT(lines.err, Not(HasSubstr("\r")));
  EXPECT_LE(std::ranges::count(lines.err, '\n'), 3) << lines.err;
}

}  // namespace
}  // namespace quern::test
