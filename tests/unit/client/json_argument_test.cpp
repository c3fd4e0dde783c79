// Lists on a command line: JSON, or @FILE.
#include "client/cli/json_argument.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <boost/json/parse.hpp>
#include <filesystem>
#include <fstream>

#include "client/cli/exit_code.h"

namespace quern::cli {
namespace {

using ::testing::HasSubstr;

std::string refused(std::string_view word) {
  const auto value = json_argument("operations", word);
  if (value) return "accepted";
  EXPECT_EQ(value.error().field, "operations");
  EXPECT_EQ(exit_code_of(value.error().code), kUsage);
  return value.error().message;
}

TEST(JsonArgument, IsWhatWasWritten) {
  for (const char* word : {R"([{"op":"blur","sigma":0.5},{"op":"blur"}])", "[]", "[1, 2.5, -3e2]",
                           R"({"a:b":"c:\"d:","e":[{"f":{}}]})", " [1] \n"}) {
    const auto value = json_argument("operations", word);
    ASSERT_TRUE(value) << to_string(value.error());
    EXPECT_EQ(*value, boost::json::parse(word));
  }
}

TEST(JsonArgument, SaysWhereItStopsToBeJson) {
  EXPECT_EQ(refused(R"([{"op":blur}])"),
            R"(--operations must be JSON, or @FILE with JSON: syntax error after '[{"op":')");
  EXPECT_THAT(refused(R"([{"op":"blur")"), HasSubstr("incomplete JSON"));
  EXPECT_THAT(refused(""), HasSubstr("incomplete JSON"));
  EXPECT_THAT(refused("[1] [2]"), HasSubstr("more follows after '[1] '"));
  EXPECT_THAT(refused(std::string(1000, '[')), HasSubstr("--operations must be JSON"));
}

TEST(JsonArgument, ANameGivenTwiceIsRefusedHereForTheServerWouldNotSeeIt) {
  EXPECT_THAT(refused(R"([{"op":"blur","op":"flip"}])"), HasSubstr("a name is given twice"));
}

TEST(JsonArgument, MayBeInAFile) {
  const std::string path = ::testing::TempDir() + "quern-argument." + std::to_string(::getpid());
  std::ofstream(path) << R"([{"op": "flip"}])"
                      << "\n";
  const auto value = json_argument("operations", "@" + path);
  std::filesystem::remove(path);
  ASSERT_TRUE(value) << to_string(value.error());
  EXPECT_EQ(*value, boost::json::parse(R"([{"op":"flip"}])"));
  EXPECT_EQ(refused("@" + path), "--operations can't be read from " + path + ": No such file or directory");
  EXPECT_THAT(refused("@/"), HasSubstr("can't be read from /"));
  EXPECT_THAT(refused("@/dev/zero"), HasSubstr("too large"));
}

}  // namespace
}  // namespace quern::cli
