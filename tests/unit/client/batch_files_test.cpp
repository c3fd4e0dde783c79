// Which files `quern batch` reads, and which it writes.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include <boost/json/parse.hpp>
#include <fstream>
#include <thread>

#include "client/cli/batch_inputs.h"
#include "client/cli/batch_outputs.h"

namespace quern::cli {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

class BatchFiles : public ::testing::Test {
 protected:
  BatchFiles() {
    std::string pattern = ::testing::TempDir() + "quern-batch-files.XXXXXX";
    if (::mkdtemp(pattern.data()) == nullptr) std::abort();
    directory_ = pattern;
  }
  ~BatchFiles() override { fs::remove_all(directory_); }

  [[nodiscard]] std::string path(std::string_view name) const { return directory_ + "/" + std::string(name); }
  void write(std::string_view name, std::string_view text = "") const {
    fs::create_directories(fs::path(path(name)).parent_path());
    std::ofstream(path(name)) << text;
  }
  // All of them: "FOLDER:NAME", and "NAME!" for those that are refused.
  [[nodiscard]] std::vector<std::string> inputs(std::vector<std::string> words, InputOptions options = {}) const {
    for (std::string& word : words) word = path(word);
    options.words = words;
    const auto source = InputSource::open(options);
    std::vector<std::string> found;
    for (auto taken = (*source)->take(); taken.input; taken = (*source)->take()) {
      const BatchInput& input = *taken.input;
      found.push_back(input.folder + (input.folder.empty() ? "" : ":") + fs::path(input.path).filename().string() +
                      (input.refused ? "!" : ""));
    }
    return found;
  }
  // Of a file of names, each below the directory.
  [[nodiscard]] std::vector<std::string> named(const std::string& names, char separator = '\n') const {
    write("names", names);
    return inputs({}, {.from = path("names"), .separator = separator});
  }

  std::string directory_;
};

// ---- Inputs

TEST_F(BatchFiles, AreWordsAndWhatPatternsMatch) {
  for (const char* name : {"a.jpg", "b.jpg", "c.png", "odd[1].jpg"}) write(name);
  EXPECT_THAT(inputs({"c.png", "*.jpg"}), ElementsAre("c.png", "a.jpg", "b.jpg", "odd[1].jpg"));
  EXPECT_THAT(inputs({"[ab].jpg"}), ElementsAre("a.jpg", "b.jpg"));
  EXPECT_THAT(inputs({"odd[1].jpg"}), ElementsAre("odd[1].jpg")) << "a file that is there is no pattern";
  EXPECT_THAT(inputs({"*.gif", "none", "a.jpg"}), ElementsAre("*.gif!", "none!", "a.jpg"));
}

TEST_F(BatchFiles, ThatAreNoFilesAreRefused) {
  write("folder/a.jpg");
  ASSERT_EQ(::mkfifo(path("pipe").c_str(), 0600), 0);
  EXPECT_THAT(inputs({"folder", "pipe"}), ElementsAre("folder!", "pipe!"));
}

TEST_F(BatchFiles, InDirectoriesKeepTheirFolders) {
  for (const char* name : {"in/a", "in/x/b", "in/x/y/c", "in/.git/d", "in/.e", "in/out/f"}) write(name);
  fs::create_directory_symlink(path("in"), path("in/x/circle"));
  EXPECT_THAT(inputs({"in"}, {.recursive = true, .outputs = path("in/out")}),
              UnorderedElementsAre("a", "x:b", "x/y:c"));
}

TEST_F(BatchFiles, AreCountedAsFarAsTheyAreKnown) {
  for (const char* name : {"a.jpg", "b.jpg", "c.png"}) write(name);
  const std::vector<std::string> words{path("c.png"), path("*.jpg"), path("none")};
  const auto source = InputSource::open({.words = words});
  const auto first = (*source)->take();
  EXPECT_EQ(first.known, 3U);
  EXPECT_FALSE(first.all_known) << "a pattern is to come";
  const auto second = (*source)->take();
  EXPECT_EQ(second.known, 4U);
  EXPECT_TRUE(second.all_known);
}

TEST_F(BatchFiles, AreNamedInAFile) {
  write("a");
  write("b\nc");
  EXPECT_THAT(named(path("a") + "\n\n" + path("none")), ElementsAre("a", "none!"));
  EXPECT_THAT(named(path("b\nc") + '\0' + path("a") + '\0', '\0'), ElementsAre("b\nc", "a"));
  EXPECT_THAT(named(""), ElementsAre());
  EXPECT_THAT(named(path("*") + "\n"), ElementsAre("*!")) << "a name is no pattern";
}

TEST_F(BatchFiles, MayBeNamedWithMoreThanAPathCanHave) {
  write("a");
  const std::string endless(1'000'000, 'x');
  EXPECT_THAT(named(endless + "\n" + path("a") + "\n" + endless), ElementsAre("names!", "a", "names!"));
  EXPECT_FALSE(InputSource::open({.from = path("nowhere")}));
}

TEST_F(BatchFiles, AreWaitedForUntilItIsStopped) {
  int pipe[2];
  ASSERT_EQ(::pipe2(pipe, O_CLOEXEC), 0);
  const unique_fd writing(pipe[1]);
  const auto source = InputSource::open({.from = "/proc/self/fd/" + std::to_string(pipe[0])});
  ::close(pipe[0]);
  ASSERT_TRUE(source) << to_string(source.error());
  std::optional<BatchInput> input = BatchInput{};
  std::thread waiting([&] { input = (*source)->take().input; });
  (*source)->stop();
  waiting.join();
  EXPECT_FALSE(input);
}

// ---- Outputs

TEST(BatchOutputs, AreNamedAfterTheirInputs) {
  EXPECT_EQ(output_path("out", {.path = "photos/a.b.jpg"}, ".webp"), "out/a.b.webp");
  EXPECT_EQ(output_path("out/", {.path = "photos/a.jpg", .folder = "2024/may"}, "-small.jpg"),
            "out/2024/may/a-small.jpg");
  EXPECT_EQ(output_directory("out", {.path = "photos/a.jpg", .folder = "x"}), "out/x/a");
}

TEST(BatchOutputs, EndAsTheirInputsDoUnlessNoResultCan) {
  const auto kind = boost::json::parse(R"({"params":[{"name":"format","choices":["png","jpeg"]}]})").as_object();
  const boost::json::object without_formats{{"params", boost::json::array()}};
  EXPECT_EQ(suffix_like_input(kind, {.path = "in.x/a.JPG"}), ".JPG");
  EXPECT_EQ(suffix_like_input(kind, {.path = "noext"}), "");
  EXPECT_EQ(suffix_like_input(kind, {.path = "a.bmp"}), ".png");
  EXPECT_EQ(suffix_like_input(kind, {.path = "a.BMP"}), ".png");
  EXPECT_EQ(suffix_like_input(without_formats, {.path = "a.bmp"}), ".bmp");
}

TEST(BatchOutputs, BelongToTheFirstWhoClaimsThem) {
  ClaimedOutputs outputs;
  EXPECT_TRUE(outputs.claim("out/a.webp"));
  EXPECT_TRUE(outputs.claim("out/b.webp"));
  EXPECT_FALSE(outputs.claim("out/a.webp"));
}

TEST_F(BatchFiles, AreUpToDateWhenTheyAreNotOlder) {
  write("in");
  EXPECT_FALSE(is_up_to_date(path("out"), path("in"))) << "it is not there";
  write("out");
  fs::last_write_time(path("out"), fs::last_write_time(path("in")));
  EXPECT_TRUE(is_up_to_date(path("out"), path("in")));
  fs::last_write_time(path("in"), fs::last_write_time(path("out")) + std::chrono::milliseconds(1));
  EXPECT_FALSE(is_up_to_date(path("out"), path("in")));
}

TEST_F(BatchFiles, AreNeverTheirOwnOutput) {
  write("in/a");
  fs::create_symlink(path("in/a"), path("link"));
  EXPECT_THAT(prepare_output(path("in/a"), path("in/a")).error().message, HasSubstr("would replace it"));
  EXPECT_FALSE(prepare_output(path("link"), path("in/a")));
  EXPECT_FALSE(prepare_output(path("in"), path("in/a"))) << "a directory";
  EXPECT_FALSE(prepare_output(path("in/a/b"), path("in/a"))) << "below a file";
  ASSERT_TRUE(prepare_output(path("new/folder/a"), path("in/a")));
  EXPECT_TRUE(fs::is_directory(path("new/folder")));
}

}  // namespace
}  // namespace quern::cli
