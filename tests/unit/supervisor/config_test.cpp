#include "supervisor/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <regex>
#include <sstream>

namespace quern::supervisor {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string reason(std::string_view text) {
  const auto config = parse_config(text, "quern.toml");
  return config ? "" : config.error().message;
}

TEST(Config, WithoutAFileHasAPoolForEachBuiltInModule) {
  const Config config = default_config();
  ASSERT_EQ(config.pools.size(), 3U);
  EXPECT_EQ(config.pools[0].name, "hash");
  EXPECT_EQ(config.pools[1].name, "image");
  EXPECT_EQ(config.pools[2].name, "shared");
  EXPECT_EQ(config.pools[0].workers, cores());
  EXPECT_EQ(config.pools[0].memory_budget_bytes, default_memory_budget_bytes());
}

TEST(Config, ReadsEverySetting) {
  const auto config = parse_config(R"(
[server]
runtime_dir = "/tmp/q"
socket_mode = "0600"
shutdown_grace_ms = 5
[limits]
clients_max = 7
frame_bytes_max = "1MiB"
[log]
level = "warn"
format = "json"
[pools.mine]
modules = ["debug", "/opt/mine.so"]
workers = 3
queue_jobs_max = 9
queue_bytes_max = 100000
attempts = 1
memory_budget_bytes = "3GiB"
[pools.other]
modules = ["other"]
)",
                                   "quern.toml");
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->runtime_dir, "/tmp/q");
  EXPECT_EQ(config->socket_mode, 0600U);
  EXPECT_EQ(config->shutdown_grace_ms, 5U);
  EXPECT_EQ(config->limits.clients_max, 7U);
  EXPECT_EQ(config->limits.frame_bytes_max, 1U << 20);
  EXPECT_EQ(config->log.level, LogLevel::kWarn);
  EXPECT_EQ(config->log.format, LogFormat::kJson);
  ASSERT_EQ(config->pools.size(), 2U);
  EXPECT_EQ(config->pools[0].modules.size(), 2U);
  EXPECT_EQ(config->pools[0].workers, 3U);
  EXPECT_EQ(config->pools[0].queue_bytes_max, 100'000U);
  EXPECT_EQ(config->pools[0].memory_budget_bytes, 3ULL << 30);
  EXPECT_EQ(config->pools[1].memory_budget_bytes, default_memory_budget_bytes());
}

TEST(Config, ABadFileIsRefusedWithLineAndReason) {
  EXPECT_THAT(reason("[pools.a]\nmodules=['debug']\nworkers=0\n"), StartsWith("quern.toml: line 3: pools.a.workers: "));
  EXPECT_THAT(reason("[pools.a]\nmodules=['debug']\nwokers=1\n"), HasSubstr("did you mean 'workers'?"));
  EXPECT_THAT(reason("[pools.a]\n"), HasSubstr("pools.a.modules: is missing"));
  EXPECT_THAT(reason("[pools.A]\nmodules=['debug']\n"), HasSubstr("a pool's name is"));
  EXPECT_THAT(reason("[limits]\nclients_max=1\n"), HasSubstr("at least one [pools.NAME]"));
  EXPECT_THAT(reason("[pool.a]\nmodules=['debug']\n"), HasSubstr("unknown section"));
  EXPECT_THAT(reason("[pools.a]\nmodules=['debug']\n[pools.b]\nmodules=['debug']\n"),
              HasSubstr("in another pool already"));
  EXPECT_THAT(reason("[server]\nsocket_mode='rw'\n[pools.a]\nmodules=['debug']\n"), HasSubstr("octal"));
  EXPECT_THAT(reason("not toml"), StartsWith("quern.toml: line 1: "));
}

std::string read_file(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

TEST(Config, TheExampleFileLoads) {
  const auto config = load_config(QUERN_SOURCE_DIR "/packaging/quern.toml");
  EXPECT_TRUE(config) << config.error().message;
}

// The example shows every setting the reader asks for, set or commented out.
TEST(Config, TheExampleFileNamesEverySetting) {
  const std::string source = read_file(QUERN_SOURCE_DIR "/supervisor/config.cpp");
  const std::string example = read_file(QUERN_SOURCE_DIR "/packaging/quern.toml");
  const std::regex setting(R"re(\.read(?:_size|_mode|_word)?\("([a-z_]+)")re");
  int found = 0;
  for (auto at = std::sregex_iterator(source.begin(), source.end(), setting); at != std::sregex_iterator();
       ++at, ++found) {
    EXPECT_TRUE(std::regex_search(example, std::regex("(^|\n)#? ?" + (*at)[1].str() + " = ")))
        << (*at)[1] << " is not in the example";
  }
  EXPECT_GT(found, 15);
}

}  // namespace
}  // namespace quern::supervisor
