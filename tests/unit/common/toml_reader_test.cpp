#include "common/toml_reader.h"

#include <gtest/gtest.h>

namespace quern {
namespace {

std::string complaint(std::string_view text) {
  auto document = TomlDocument::parse(text, "q.toml");
  if (!document) return document.error().message;
  std::uint32_t workers = 1;
  std::string name;
  TomlTable table = document->table("pool");
  table.read("workers", workers, 1, 8);
  table.read("name", name);
  table.finish();
  return document->error() ? document->error()->message : "";
}

TEST(TomlReader, AcceptsWhatItKnows) { EXPECT_EQ(complaint("[pool]\nworkers = 3\nname = 'x'\n"), ""); }

TEST(TomlReader, NamesFileLineSettingAndRange) {
  EXPECT_EQ(complaint("[pool]\nname = 'x'\nworkers = 9\n"),
            "q.toml: line 3: pool.workers: must be a whole number between 1 and 8");
}

TEST(TomlReader, RefusesUnknownSettingsWithASuggestion) {
  EXPECT_EQ(complaint("[pool]\nwokers = 3\n"), "q.toml: line 2: pool.wokers: unknown setting; did you mean 'workers'?");
}

TEST(TomlReader, RefusesTheWrongType) {
  EXPECT_EQ(complaint("[pool]\nname = 3\n"), "q.toml: line 2: pool.name: must be a string");
}

TEST(TomlReader, SaysWhereTheSyntaxBreaks) {
  EXPECT_TRUE(complaint("[pool\n").starts_with("q.toml: line 1: ")) << complaint("[pool\n");
}

TEST(TomlReader, RefusesWhatCantBeginAName) {
  EXPECT_TRUE(complaint("[!]\n").starts_with("q.toml: line 1: ")) << complaint("[!]\n");
  EXPECT_TRUE(complaint("[pool]\nä = 1\n").starts_with("q.toml: line 2: ")) << complaint("[pool]\nä = 1\n");
  EXPECT_TRUE(complaint("[pool]\nworkers = 3 ä\n").starts_with("q.toml: line 2: "));
}

}  // namespace
}  // namespace quern
