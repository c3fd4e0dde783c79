// The operators' commands, as they are typed, against a real server.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <string>

#include "tests/integration/on_terminal.h"
#include "tests/integration/server.h"

namespace quern::test {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(Buffers, AreListedWithTheirOwners) {
  const Server server;
  EXPECT_THAT(quern(server, {"buffers"}).out, HasSubstr("no shared buffers"));
  client::Client client = server.connect();
  const auto named = client.create_shared({.bytes = 8192, .name = "counters"});
  const auto groups = client.create_shared({.bytes = 64, .access = wire::BufferAccess::kGroup, .gid = 4242});
  ASSERT_TRUE(named && groups);
  const Ended listed = quern(server, {"buffers"});
  EXPECT_EQ(listed.exit_code, 0);
  EXPECT_THAT(listed.out, HasSubstr("counters"));
  EXPECT_THAT(listed.out, HasSubstr("8.0 KiB"));
  EXPECT_THAT(listed.out, HasSubstr("group 4242"));
  EXPECT_THAT(quern(server, {"buffers", "--json"}).out, HasSubstr(R"("name":"counters")"));
}

TEST(Commands, HealthSucceedsOnlyWhenEveryPoolDoes) {
  const Server server;
  const Ended well = quern(server, {"health"});
  EXPECT_EQ(well.exit_code, 0) << well.err;
  EXPECT_THAT(well.out, HasSubstr("debug        ok"));
  ASSERT_EQ(quern(server, {"pause", "debug"}).exit_code, 0);
  const Ended paused = quern(server, {"health", "debug"});
  EXPECT_EQ(paused.exit_code, 5);
  EXPECT_THAT(paused.out, HasSubstr("FAILED"));
  EXPECT_EQ(quern(server, {"health", "nosuch"}).exit_code, 2);
  EXPECT_THAT(quern(server, {"health", "--json"}).out, HasSubstr("\"healthy\":false"));
}

TEST(Commands, JobsListsAndCancelEnds) {
  const Server server;
  EXPECT_THAT(quern(server, {"jobs"}).out, HasSubstr("no jobs"));
  client::Client client = server.connect();
  auto running = client.submit({.kind = "debug.sleep", .params_json = R"({"ms":60000})"});
  (void)server.busy_worker();
  const Ended listed = quern(server, {"jobs"});
  EXPECT_THAT(listed.out, HasSubstr("debug.sleep"));
  EXPECT_THAT(listed.out, HasSubstr("running"));
  const std::string id = listed.out.substr(listed.out.find('\n') + 1, 10);
  const Ended cancelled = quern(server, {"cancel", id.substr(id.find_first_not_of(' '))});
  EXPECT_EQ(cancelled.exit_code, 0) << cancelled.err;
  EXPECT_THAT(cancelled.out, HasSubstr("was running"));
  EXPECT_EQ(running.get().error().code, ErrorCode::kCancelled);
  EXPECT_EQ(quern(server, {"cancel", "424242"}).exit_code, 2);
}

TEST(Commands, QuarantineFromItsFirstRefusalToItsRelease) {
  const Server server(debug_pool("attempts = 1\nquarantine_deaths = 1\n"));
  EXPECT_THAT(quern(server, {"quarantine", "ls"}).out, HasSubstr("nothing is in quarantine"));
  EXPECT_EQ(quern(server, {"run", "debug.crash"}).exit_code, 7);
  ASSERT_TRUE(eventually([&] {
    const Ended again = quern(server, {"run", "debug.crash"});
    EXPECT_EQ(again.exit_code, 7);
    return again.err.find("quarantined:") != std::string::npos;
  }));
  const std::string list = quern(server, {"quarantine", "ls"}).out;
  EXPECT_THAT(list, HasSubstr("debug.crash"));
  const std::string id = list.substr(list.find('\n') + 1, 16);
  EXPECT_THAT(quern(server, {"quarantine", "show", id}).out, HasSubstr("SIGSEGV"));
  const Ended replayed = quern(server, {"quarantine", "replay", id});
  EXPECT_EQ(replayed.exit_code, 7);
  EXPECT_THAT(replayed.out, HasSubstr("stays in quarantine"));
  EXPECT_THAT(quern(server, {"quarantine", "release", id}).out, HasSubstr("released"));
  EXPECT_THAT(quern(server, {"quarantine", "show", id}).err, HasSubstr("not_found"));
  const Ended wrong = quern(server, {"quarantine", "show", "xyz"});
  EXPECT_EQ(wrong.exit_code, 2);
  EXPECT_THAT(wrong.err, HasSubstr("16 hexadecimal digits"));
}

TEST(Commands, RetryOnTakesAListOrNone) {
  const Server server(debug_pool("attempts = 3\nquarantine_deaths = 0\n"));
  EXPECT_EQ(quern(server, {"run", "debug.crash", "--until-attempt", "2"}).exit_code, 0);
  EXPECT_EQ(quern(server, {"run", "debug.crash", "--until-attempt", "2", "--retry-on", "none"}).exit_code, 7);
  EXPECT_EQ(quern(server, {"run", "debug.crash", "--until-attempt", "2", "--retry-on", "run_timeout,crash"}).exit_code,
            0);
  EXPECT_THAT(quern(server, {"run", "debug.noop", "--retry-on", "boredom"}).err, HasSubstr("'boredom'"));
}

TEST(Top, PrintsOnceWhereThereIsNoTerminal) {
  const Server server;
  const Ended once = quern(server, {"top"});
  EXPECT_EQ(once.exit_code, 0) << once.err;
  for (const char* word : {"memory", "POOL", "WORKER", "CLIENT", "debug", "idle"})
    EXPECT_THAT(once.out, HasSubstr(word));
  EXPECT_THAT(once.out, Not(HasSubstr("\x1b"))) << "no terminal's sequences";
}

class TopOnTerminal : public OnTerminal {
 public:
  explicit TopOnTerminal(const Server& server) : OnTerminal(server, {"top", "--interval-ms", "50"}) {}
};

constexpr std::string_view kEnterAlternateScreen = "\x1b[?1049h";
constexpr std::string_view kLeaveAlternateScreen = "\x1b[?1049l";

TEST(Top, OnATerminalRefreshesUntilQAndPutsTheScreenBack) {
  const Server server;
  TopOnTerminal top(server);
  EXPECT_TRUE(top.shows(kEnterAlternateScreen));
  EXPECT_TRUE(top.shows("/s")) << "a rate takes two looks";
  top.type('q');
  EXPECT_TRUE(top.shows(kLeaveAlternateScreen));
  EXPECT_EQ(top.exit_code(), 0);
}

TEST(Top, PutsTheScreenBackOnASignalAndOutlivesItsServer) {
  Server server;
  TopOnTerminal top(server);
  EXPECT_TRUE(top.shows("WORKER"));
  server.signal(SIGTERM);
  EXPECT_EQ(server.wait(), 0);
  EXPECT_TRUE(top.shows("trying again"));
  top.forget();
  server.start();
  EXPECT_TRUE(top.shows("WORKER")) << "the server is back";
  top.signal(SIGTERM);
  EXPECT_TRUE(top.shows(kLeaveAlternateScreen));
  EXPECT_EQ(top.exit_code(), 0);
}

}  // namespace
}  // namespace quern::test
