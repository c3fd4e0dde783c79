#include "client/cli/top.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json/parse.hpp>

namespace quern::cli {
namespace {

using namespace std::chrono_literals;
using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::SizeIs;

boost::json::object status(int done) {
  return boost::json::parse(R"json({"version": "1.2.3", "state": "running", "uptime_ms": 65000, "clients": 2,
    "memory": {"rss_bytes": 1048576, "ceiling_bytes": 2147483648},
    "jobs": {"queued": 3, "running": 1, "succeeded": )json" +
                            std::to_string(done) + R"json(},
    "pools": [{"name": "image", "state": "degraded", "queued": 3, "succeeded": )json" +
                            std::to_string(done) + R"json(, "failed": 4, "deaths": {"signaled": 5, "exited": 1},
      "recycled": 6, "slow": 7, "memory_budget_bytes": 4294967296,
      "memory_reserved_bytes": 1610612736, "waiting_for_memory": 3, "backoff_ms": 800, "last_death": {"pid": 9, "cause": "signal 11 (SIGSEGV)"},
      "workers": [{"pid": 11, "state": "idle", "rss_bytes": 512, "jobs_done": 1},
                  {"pid": 12, "state": "busy", "rss_bytes": 4096, "jobs_done": 2,
                   "job": {"id": 99, "kind": "image.resize", "running_ms": 1500}}]
}],
    "connections": [{"id": 1, "pid": 21, "uid": 1000, "role": "client", "jobs": 0, "unread_bytes": 0,
                     "descriptors": 0, "payload_bytes": 0, "buffer_bytes": 0,
                     "connected_ms": 10, "name": "idle\u001b[2J"},
                    {"id": 2, "pid": 22, "uid": 1000, "role": "client", "jobs": 4, "unread_bytes": 70000,
                     "descriptors": 321, "payload_bytes": 3145728, "buffer_bytes": 2097152,
                     "connected_ms": 10, "name": "busy"}]
})json")
      .as_object();
}

std::string joined(const std::vector<std::string>& lines) {
  std::string all;
  for (const std::string& line : lines) all += line + "\n";
  return all;
}

TEST(Top, ShowsPoolsWorkersAndClientsBusyOnesFirst) {
  const std::string page = joined(render_top(status(100), nullptr, 0ms, {}));
  EXPECT_THAT(page, HasSubstr("memory 1.0 MiB of at most 2.0 GiB"));
  EXPECT_THAT(page, HasSubstr("degraded"));
  EXPECT_THAT(page, HasSubstr("1/2"));
  EXPECT_THAT(page, HasSubstr("1.5 GiB/4.0 GiB, 3 wait"));
  EXPECT_THAT(page, HasSubstr("signal 11 (SIGSEGV)"));
  EXPECT_LT(page.find("99 image.resize"), page.find("      11 image")) << "the busy worker first";
  EXPECT_LT(page.find("busy\n"), page.find("idle?")) << "the client with jobs first";
}

TEST(Top, CountsWhatWasDoneSinceTheLastLook) {
  const auto before = status(100);
  EXPECT_THAT(joined(render_top(status(350), &before, 500ms, {})), HasSubstr("500.0/s"));
}

TEST(Top, ShowsWhatTheServerHoldsForAClient) {
  const std::string page = joined(render_top(status(1), nullptr, 0ms, {}));
  EXPECT_THAT(page, HasSubstr("   FDS     MEMORY     UNREAD"));
  EXPECT_THAT(page, HasSubstr("   321    5.1 MiB   68.4 KiB")) << "all of it together";
}

TEST(Top, NeverPassesOnWhatATerminalObeys) {
  EXPECT_EQ(joined(render_top(status(1), nullptr, 0ms, {})).find('\x1b'), std::string::npos);
}

TEST(Top, FitsTheTerminal) {
  const auto lines = render_top(status(1), nullptr, 0ms, {.rows = 7, .columns = 30});
  EXPECT_EQ(lines.size(), 7U);
  EXPECT_THAT(lines, Each(SizeIs(::testing::Le(30U))));
}

}  // namespace
}  // namespace quern::cli
