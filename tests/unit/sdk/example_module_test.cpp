// The module that docs/jobs.md prints is this one, and it works.
#include <gmock/gmock.h>

#include <fstream>
#include <sstream>

#include "tests/unit/sdk/fake_job.h"

namespace quern::sdk {
namespace {

std::string read(const std::string& path) {
  std::ifstream file(path);
  EXPECT_TRUE(file) << path;
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

TEST(ExampleModule, IsPrintedInTheDocumentAsItIs) {
  const std::string source_dir = QUERN_SOURCE_DIR;
  EXPECT_THAT(read(source_dir + "/docs/jobs.md"),
              testing::HasSubstr("```cpp\n" + read(source_dir + "/tests/unit/sdk/example_module.cpp") + "```\n"));
}

TEST(ExampleModule, Counts) {
  FakeJob job(find_kind("text.count"), R"({"byte":"l"})");
  job.add_input("hello, mill").run();
  EXPECT_EQ(job.text(), "4");
  EXPECT_EQ(job.reports.back(), std::pair(std::uint64_t{11}, std::uint64_t{11}));
}

TEST(ExampleModule, FailsAsItSays) {
  FakeJob job(find_kind("text.count"), R"({"byte":"x","must_occur":true})");
  job.add_input("hello");
  EXPECT_EQ(error_of([&] { job.run(); }).code(), JobErrorCode::kBadInput);
}

TEST(ExampleModule, StopsWhenAsked) {
  FakeJob job(find_kind("text.count"), R"({"byte":"x"})");
  job.cancelled = true;
  job.add_input("hello");
  EXPECT_EQ(error_of([&] { job.run(); }).code(), JobErrorCode::kCancelled);
}

}  // namespace
}  // namespace quern::sdk
