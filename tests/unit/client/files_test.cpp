// What `quern run` reads and writes.
#include "client/cli/files.h"

#include <gmock/gmock.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "client/cli/completion.h"
#include "client/cli/exit_code.h"

namespace quern::cli {
namespace {

using client::ResultPart;
using ::testing::HasSubstr;

class Files : public ::testing::Test {
 protected:
  Files() {
    std::string pattern = ::testing::TempDir() + "quern-files.XXXXXX";
    if (::mkdtemp(pattern.data()) == nullptr) std::abort();
    directory_ = pattern;
  }
  ~Files() override { std::filesystem::remove_all(directory_); }

  [[nodiscard]] std::string path(std::string_view name) const { return directory_ + "/" + std::string(name); }
  void write(std::string_view name, std::string_view text) const { std::ofstream(path(name)) << text; }
  [[nodiscard]] std::string read(std::string_view name) const {
    std::ifstream file(path(name));
    return {std::istreambuf_iterator<char>(file), {}};
  }
  [[nodiscard]] std::size_t entries() const {
    return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(directory_), {}));
  }
  static std::vector<ResultPart> parts(const std::vector<std::pair<std::string, std::string>>& named) {
    std::vector<ResultPart> made;
    for (const auto& [name, text] : named) {
      const auto bytes = ipc::as_bytes(text);
      made.emplace_back(name, std::vector<std::byte>(bytes.begin(), bytes.end()));
    }
    return made;
  }

  std::string directory_;
};

TEST_F(Files, SmallOnesAreReadAndLargeOnesBecomeSealedMemfds) {
  write("small", "grain");
  const auto small = read_input(path("small"));
  ASSERT_TRUE(small);
  EXPECT_EQ(small->name(), "small");
  EXPECT_EQ(ipc::as_text(small->bytes()), "grain");
  write("large", std::string(300'000, 'x'));
  const auto large = read_input(path("large"));
  ASSERT_TRUE(large) << to_string(large.error());
  ASSERT_TRUE(large->in_fd());
  EXPECT_EQ(*ipc::sealed_size(large->fd().get()), 300'000U);
  write("empty", "");
  EXPECT_TRUE(read_input(path("empty"))->bytes().empty());
}

TEST_F(Files, ThatCanNotBeReadAreNamed) {
  EXPECT_THAT(read_input(path("none")).error().message, HasSubstr(path("none")));
  EXPECT_THAT(read_input(directory_).error().message, HasSubstr("directory"));
}

TEST_F(Files, AreReplacedWholeAndKeepTheirMode) {
  write("out", "before");
  ASSERT_EQ(::chmod(path("out").c_str(), 0600), 0);
  ASSERT_EQ(::symlink(path("out").c_str(), path("link").c_str()), 0);
  ASSERT_TRUE(write_output(path("link"), parts({{"", "after"}})));
  EXPECT_EQ(read("out"), "after");
  EXPECT_TRUE(std::filesystem::is_symlink(path("link")));
  struct stat info {};
  ASSERT_EQ(::stat(path("out").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777U, 0600U);
  EXPECT_EQ(entries(), 2U) << "no temporary file is left";
}

TEST_F(Files, ThatCanNotBeWrittenAreNamedAndNothingIsLeftBehind) {
  const auto written = write_output(path("no/such/place"), parts({{"", "x"}}));
  ASSERT_FALSE(written);
  EXPECT_THAT(written.error().message, HasSubstr("no/such/place"));
  EXPECT_EQ(entries(), 0U);
  EXPECT_FALSE(write_output(path("out"), parts({{"a", "x"}, {"b", "y"}}))) << "two parts, one file";
}

TEST_F(Files, BelowADirectoryThatIsMissingAreTheUsersMistakeAndSayTheWayOut) {
  for (const std::string& output : {path("new/"), path("new/out.jpg")}) {
    const auto opened = ReplacedFile::open(output);
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().code, ErrorCode::kInvalidArgument);
    EXPECT_EQ(opened.error().field, "output");
    EXPECT_EQ(opened.error().message,
              "can't write " + output + ": there is no directory " + path("new") + "; make it first");
    EXPECT_EQ(exit_code_of(opened.error().code), kUsage);
  }
  write("file", "x");
  const auto below_a_file = ReplacedFile::open(path("file/out"));
  ASSERT_FALSE(below_a_file);
  EXPECT_EQ(below_a_file.error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(below_a_file.error().message, "can't write " + path("file/out") + ": Not a directory");
  EXPECT_EQ(entries(), 1U);
}

TEST_F(Files, OfSeveralPicturesAreNeverPutEndToEnd) {
  const auto written = write_output("-", parts({{"a", std::string("\x89PNG\r\n\x1a\n")}, {"b", "text"}}));
  ASSERT_FALSE(written);
  EXPECT_THAT(written.error().message, HasSubstr("2 parts"));
  EXPECT_TRUE(write_output("-", parts({{"a", "two\n"}, {"b", "lines\n"}})));
}

TEST_F(Files, OfADirectoryNeverLeaveItAndNeverOverwriteEachOther) {
  ASSERT_TRUE(
      write_output(directory_, parts({{"../../etc/evil", "1"}, {"..", "2"}, {"", "3"}, {"same", "4"}, {"same", "5"}})));
  EXPECT_EQ(read("evil"), "1");
  EXPECT_EQ(read("part-1"), "2");
  EXPECT_EQ(read("part-2"), "3");
  EXPECT_EQ(read("same"), "4");
  EXPECT_EQ(read("part-4-same"), "5");
  EXPECT_EQ(entries(), 5U);
}

// The completion runs in a real bash against a `quern` that answers like a server's.
class Completion : public Files, public ::testing::WithParamInterface<std::pair<const char*, const char*>> {};

TEST_P(Completion, OffersWhatTheServerHas) {
  const auto [line, expected] = GetParam();
  write("script", std::string(kBashCompletion) + R"bash(
quern() {
  case "$*" in
    *"kinds --names") echo "image.resize hash.scrypt" ;;
    *"kinds image.resize") printf '%s\n' 'image.resize  (pool image)' '  --width   integer' '  --format  webp|jpeg   how' '  --rotate  boolean' ;;
    *"status --pools") echo "image hash" ;;
  esac
}
read -ra COMP_WORDS <<< "$1"
[[ "$1" == *" " ]] && COMP_WORDS+=("")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_quern
echo "${COMPREPLY[*]}"
)bash");
  const std::string command = "bash " + path("script") + " '" + line + "' > " + path("replies") + " 2>&1";
  ASSERT_EQ(::system(command.c_str()), 0);
  EXPECT_EQ(read("replies"), std::string(expected) + "\n");
}

INSTANTIATE_TEST_SUITE_P(Lines, Completion,
                         ::testing::Values(std::pair("quern ki", "kinds"), std::pair("quern run im", "image.resize"),
                                           std::pair("quern --runtime-dir /r run ha", "hash.scrypt"),
                                           std::pair("quern run --priority 9 im", "image.resize"),
                                           std::pair("quern run image.resize --wi", "--width"),
                                           std::pair("quern run image.resize --no-w", "--no-wait"),
                                           std::pair("quern run image.resize --format ", "webp jpeg"),
                                           std::pair("quern run image.resize --rotate t", "true"),
                                           std::pair("quern batch im", "image.resize"),
                                           std::pair("quern batch --jobs 3 image.resize --wi", "--width"),
                                           std::pair("quern batch image.resize --ski", "--skip-existing"),
                                           std::pair("quern run image.resize --ski", ""),
                                           std::pair("quern batch image.resize a.jpg --format ", "webp jpeg"),
                                           std::pair("quern batch photos/*.jpg --wi", "--width"),
                                           std::pair("quern resize ha", "hash"),
                                           std::pair("quern status --p", "--pools")));

}  // namespace
}  // namespace quern::cli
