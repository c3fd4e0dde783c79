// What docs/buffers.md prints is what is compiled here, and it works.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "tests/integration/server.h"

namespace quern::test {
namespace {

using ::testing::HasSubstr;

std::string read(const std::string& path) {
  std::ifstream file(path);
  EXPECT_TRUE(file) << path;
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

TEST(BufferExamples, ArePrintedInTheDocumentAsTheyAre) {
  const std::string source_dir = QUERN_SOURCE_DIR;
  const std::string document = read(source_dir + "/docs/buffers.md");
  for (const char* example : {"transfer.cpp", "streamed.cpp", "shared_counter.cpp", "adding_module.cpp"}) {
    EXPECT_THAT(document,
                HasSubstr("```cpp\n" + read(source_dir + "/tests/integration/examples/" + example) + "```\n"));
  }
}

class Example {
 public:
  explicit Example(const Server& server) { ::setenv("QUERN_RUNTIME_DIR", server.directory().c_str(), 1); }
  ~Example() { ::unsetenv("QUERN_RUNTIME_DIR"); }
  [[nodiscard]] static Ended run(const char* program) { return test::run({std::string(QUERN_EXAMPLES) + program}); }
};

TEST(BufferExamples, HandABufferOverAndShareOne) {
  const Server server(debug_pool() + "[pools.shared]\nmodules = ['shared']\n");
  const Example example(server);
  const Ended transfer = Example::run("example_transfer");
  EXPECT_EQ(transfer.exit_code, 0) << transfer.err;
  EXPECT_EQ(transfer.out, "100000000 bytes came back, 0 were copied\n");
  const Ended streamed = Example::run("example_streamed");
  EXPECT_EQ(streamed.exit_code, 0) << streamed.err;
  EXPECT_EQ(streamed.out, "100000000 bytes came\n");
  const Ended shared = Example::run("example_shared_counter");
  EXPECT_EQ(shared.exit_code, 0) << shared.err;
  EXPECT_EQ(shared.out, "the word is 12\nit was 0\n");
}

TEST(BufferExamples, TheModuleCountsUp) {
  const Server server("[pools.count]\nmodules = ['" QUERN_EXAMPLES "adding.so']\nworkers = 1\n");
  client::Client client = server.connect();
  const auto buffer = client.create_shared({.bytes = 8});
  ASSERT_TRUE(buffer);
  client::Job job{.kind = "count.up", .params_json = R"({"index":1})"};
  job.options.shared_buffers = {buffer->id()};
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(client.run(job));
  EXPECT_EQ(buffer->as<std::uint32_t>()[1].load(), 3U);
}

}  // namespace
}  // namespace quern::test
