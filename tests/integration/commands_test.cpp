// The operators' commands, as they are typed, against a real server.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "tests/integration/on_terminal.h"
#include "tests/integration/server.h"

namespace quern::test {
namespace {

using ::testing::AnyOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

// A GIF.
std::string one_white_pixel() {
  using namespace std::string_literals;
  return "GIF89a\1\0\1\0\x80\0\0\xff\xff\xff\0\0\0,\0\0\0\0\1\0\1\0\0\2\2D\1\0;"s;
}

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

TEST(Commands, TheOutputsNameSaysTheFormatWhereNothingElseDoes) {
  const Server server("[pools.image]\nmodules = ['image']\nworkers = 1\n");
  const std::string gif = one_white_pixel();
  const auto made = [&](std::string_view name, std::vector<std::string> more) {
    const std::string path = server.directory() + "/" + std::string(name);
    more.insert(more.begin(), "run");
    more.insert(more.end(), {"-o", path});
    const Ended ended = quern(server, more, gif);
    EXPECT_EQ(ended.exit_code, 0) << ended.err;
    std::ifstream file(path);
    return std::string{std::istreambuf_iterator<char>(file), {}};
  };
  const std::vector<std::string> resize{"image.resize", "--width", "4"};
  EXPECT_EQ(made("a.webp", resize).substr(8, 4), "WEBP");
  EXPECT_THAT(made("a.JPEG", resize), StartsWith("\xff\xd8"));
  EXPECT_THAT(made("a.webp", {"image.resize", "--width", "4", "--format", "png"}), StartsWith("\x89PNG"));
  EXPECT_THAT(made("a.bin", resize), StartsWith("GIF89a")) << "no format's suffix: the input's format";
  EXPECT_THAT(made("a.tiff", {"image.process"}), AnyOf(StartsWith("II*"), StartsWith("MM")));
  EXPECT_THAT(made("a.png", {"image.process", "--outputs", R"([{"name":"a"}])"}), StartsWith("\x89PNG"));
  EXPECT_THAT(made("a.png", {"image.info"}), StartsWith("{")) << "a kind without formats";
}

TEST(Commands, AnOutputsNameInADirectorySaysItsFormatToo) {
  const Server server("[pools.image]\nmodules = ['image']\nworkers = 1\n");
  const std::string directory = server.directory() + "/made.png";
  std::filesystem::create_directory(directory);
  const Ended ended = quern(server,
                            {"run", "image.process", "--outputs",
                             R"([{"name":"a.webp"},{"name":"b"},{"name":"c.png","format":"jpeg"}])", "-o", directory},
                            one_white_pixel());
  EXPECT_EQ(ended.exit_code, 0) << ended.err;
  const auto begins = [&](const char* name) {
    std::ifstream file(directory + "/" + name);
    return std::string{std::istreambuf_iterator<char>(file), {}}.substr(0, 12);
  };
  EXPECT_THAT(begins("a.webp"), EndsWith("WEBP"));
  EXPECT_THAT(begins("b"), StartsWith("GIF89a"));
  EXPECT_THAT(begins("c.png"), StartsWith("\xff\xd8"));
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
