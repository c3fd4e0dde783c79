// `quern batch` over real files, by a real server: what comes out, what is said of what does not, and what is left
// behind when it ends before its time.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <boost/json/parse.hpp>
#include <filesystem>
#include <fstream>
#include <future>

#include "tests/integration/on_terminal.h"
#include "tests/integration/server.h"

namespace quern::test {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::StartsWith;

// One pixel.
constexpr unsigned char kPng[] = {0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0x00, 0x00, 0x00, 0x0d, 0x49, 0x48,
                                  0x44, 0x52, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x01, 0x08, 0x06, 0x00, 0x00,
                                  0x00, 0x1f, 0x15, 0xc4, 0x89, 0x00, 0x00, 0x00, 0x0d, 0x49, 0x44, 0x41, 0x54, 0x78,
                                  0xda, 0x63, 0x64, 0xf8, 0xcf, 0x50, 0x0f, 0x00, 0x03, 0x86, 0x01, 0x80, 0x5a, 0x34,
                                  0x7d, 0x6b, 0x00, 0x00, 0x00, 0x00, 0x49, 0x45, 0x4e, 0x44, 0xae, 0x42, 0x60, 0x82};
// One pixel, too: the file's header, that of 40 bytes, and blue, green, red with what fills the row.
std::string bmp() {
  std::string file = "BM";
  const auto append = [&](std::uint32_t number, int bytes) {
    for (int i = 0; i < bytes; ++i) file.push_back(static_cast<char>(number >> (8 * i)));
  };
  for (const std::uint32_t word : {58U, 0U, 54U, 40U, 1U, 1U}) append(word, 4);
  append(1, 2);
  append(24, 2);
  for (const std::uint32_t word : {0U, 4U, 0U, 0U, 0U, 0U, 0x00c08040U}) append(word, 4);
  return file;
}

constexpr const char* kImagePool = "[pools.image]\nmodules = ['image']\nworkers = 2\n";
// A kind that takes a file and its time, and answers "survived attempt 1".
constexpr const char* kSlowKind = "debug.crash";

class Batch : public ::testing::Test {
 protected:
  Batch() {
    std::string pattern = ::testing::TempDir() + "quern-batch.XXXXXX";
    if (::mkdtemp(pattern.data()) == nullptr) std::abort();
    directory_ = pattern;
    fs::create_directory(path("in"));
  }
  ~Batch() override { fs::remove_all(directory_); }

  [[nodiscard]] std::string path(std::string_view name) const { return directory_ + "/" + std::string(name); }
  void write(std::string_view name, std::string_view text) const {
    fs::create_directories(fs::path(path(name)).parent_path());
    std::ofstream(path(name)) << text;
  }
  void write_pictures(int count) const {
    const std::string_view png(reinterpret_cast<const char*>(kPng), sizeof kPng);
    for (int i = 0; i < count; ++i) write("in/" + std::to_string(i) + ".png", png);
  }
  void write_texts(int count) const {
    for (int i = 0; i < count; ++i) write("in/" + std::to_string(i) + ".txt", "text " + std::to_string(i));
  }
  [[nodiscard]] std::string read(std::string_view name) const {
    std::ifstream file(path(name));
    return {std::istreambuf_iterator<char>(file), {}};
  }
  // Every file below a folder, by its relative path; a file that is not whole would be here too.
  [[nodiscard]] std::vector<std::string> files(std::string_view folder) const {
    std::vector<std::string> found;
    if (!fs::exists(path(folder))) return found;
    for (const auto& entry : fs::recursive_directory_iterator(path(folder))) {
      // no more than its name is looked at: it may be renamed just now
      if (entry.is_regular_file()) found.push_back(entry.path().lexically_relative(path(folder)).string());
    }
    std::ranges::sort(found);
    return found;
  }
  // How many texts have come out whole, without those that are being written under another name.
  [[nodiscard]] std::ptrdiff_t texts_out() const {
    return std::ranges::count_if(files("out"), [](const std::string& name) { return name.ends_with(".txt"); });
  }
  // `quern batch KIND MORE... --to out`.
  [[nodiscard]] std::vector<std::string> words(std::string kind, std::vector<std::string> more) const {
    more.insert(more.begin(), {"batch", std::move(kind)});
    more.insert(more.end(), {"--to", path("out")});
    return more;
  }
  [[nodiscard]] std::vector<std::string> slow_words(int after_ms, std::vector<std::string> more = {}) const {
    more.insert(more.begin(), {"--until-attempt", "1", "--after-ms", std::to_string(after_ms), path("in/*")});
    return words(kSlowKind, std::move(more));
  }

  std::string directory_;
};

// ---- What comes out

TEST_F(Batch, ConvertsWhatItCanAndNamesWhatItCanNot) {
  const Server server(kImagePool);
  write_pictures(40);
  write("in/bad.png", "no picture");
  write("in/empty.png", "");
  const Ended ended =
      quern(server, words("image.resize", {path("in/*.png"), path("in/none.png"), "--width", "8", "--format", "webp"}));
  EXPECT_EQ(ended.exit_code, 3);
  EXPECT_EQ(ended.out, "");
  EXPECT_THAT(ended.err, HasSubstr("quern: " + path("in/bad.png") + ": bad_input: "));
  EXPECT_THAT(ended.err, HasSubstr("quern: " + path("in/none.png") + ": "));
  EXPECT_THAT(ended.err, HasSubstr("\n40 done, 3 failed, in "));
  EXPECT_THAT(ended.err, Not(HasSubstr("\x1b"))) << "no terminal's sequences";
  EXPECT_THAT(files("out"), SizeIs(40));
  EXPECT_EQ(read("out/7.webp").substr(8, 4), "WEBP");
}

TEST_F(Batch, NamesOutputsByWhatTheyAre) {
  const Server server(kImagePool);
  write_pictures(1);
  write("in/photo.bmp", bmp());
  write("in/photo.jpg", read("in/0.png"));
  const auto made = [&](std::string kind, std::vector<std::string> more) {
    fs::remove_all(path("out"));
    more.insert(more.begin(), path("in/*"));
    const Ended ended = quern(server, words(std::move(kind), std::move(more)));
    EXPECT_EQ(ended.exit_code, ended.err.find("failed") == std::string::npos ? 0 : 3) << ended.err;
    return files("out");
  };
  EXPECT_THAT(made("image.resize", {"--width", "8"}), ElementsAre("0.png", "photo.jpg", "photo.png"));
  EXPECT_THAT(read("out/photo.png"), StartsWith("\x89PNG")) << "a BMP is written as a PNG";
  EXPECT_THAT(read("out/photo.jpg"), StartsWith("\xff\xd8")) << "what it is called, though the input is no JPEG";
  for (const char* kind : {"image.info", "image.stats", "image.placeholder"}) {
    fs::remove(path("in/photo.jpg"));
    fs::remove(path("in/photo.bmp"));
    EXPECT_THAT(made(kind, {}), ElementsAre("0.json"));
    EXPECT_THAT(read("out/0.json"), StartsWith("{")) << kind;
  }
  EXPECT_THAT(made("image.process", {"--format", "placeholder"}), ElementsAre("0.json"));
  EXPECT_THAT(made("image.process", {"--outputs", R"([{"name":"a.webp","format":"webp"}])"}), ElementsAre("0.webp"));
  EXPECT_EQ(read("out/0.webp").substr(8, 4), "WEBP");
  EXPECT_THAT(made("image.process", {"--suffix", "-small.jpeg"}), ElementsAre("0-small.jpeg"));
  EXPECT_THAT(read("out/0-small.jpeg"), StartsWith("\xff\xd8"));
}

TEST_F(Batch, GivesEachJobTheFilesThatAllGet) {
  const Server server;
  write_texts(2);
  write("small", "mark");
  write("large", std::string(3'000'000, 'x'));
  const Ended both =
      quern(server, words("debug.echo", {path("in/*"), "--also", path("small"), "--also", path("large")}));
  EXPECT_EQ(both.exit_code, 0) << both.err;
  EXPECT_THAT(files("out"), ElementsAre("0/0.txt", "0/large", "0/small", "1/1.txt", "1/large", "1/small"));
  EXPECT_EQ(read("out/1/1.txt"), "text 1");
  EXPECT_EQ(read("out/1/small"), "mark");
  EXPECT_EQ(read("out/0/large"), read("large"));
  const Ended missing = quern(server, words("debug.echo", {path("in/*"), "--also", path("none")}));
  EXPECT_EQ(missing.exit_code, 2);
  EXPECT_THAT(missing.err, HasSubstr(path("none")));
}

TEST_F(Batch, LaysAWatermarkOnEachPicture) {
  const Server server(kImagePool);
  write_pictures(2);
  write("mark.bmp", bmp());
  const Ended ended = quern(server, words("image.process", {"--operations", R"([{"op":"composite"}])", "--also",
                                                            path("mark.bmp"), path("in/*")}));
  EXPECT_EQ(ended.exit_code, 0) << ended.err;
  EXPECT_THAT(files("out"), ElementsAre("0.png", "1.png"));
  const Ended looked = quern(server, words("image.compare", {"--also", path("mark.bmp"), path("out/*.png")}));
  EXPECT_EQ(looked.exit_code, 0) << looked.err;
  EXPECT_THAT(files("out"), ElementsAre("0.json", "0.png", "1.json", "1.png"));
  EXPECT_THAT(read("out/1.json"), HasSubstr(R"("identical":true)")) << "the mark covers it";
}

TEST_F(Batch, NeverWritesAnOutputTwice) {
  const Server server;
  write("in/a.txt", "one");
  write("in/more/a.txt", "two");
  const Ended ended = quern(server, words("debug.echo", {path("in/a.txt"), path("in/more/a.txt"), "--jobs", "1"}));
  EXPECT_EQ(ended.exit_code, 3);
  EXPECT_THAT(ended.err, HasSubstr("more/a.txt: invalid_argument: " + path("out/a.txt") + " is the output of another"));
  EXPECT_EQ(read("out/a.txt"), "one");
  const Ended onto = quern(server, {"batch", "debug.echo", path("in/a.txt"), "--to", path("in")});
  EXPECT_EQ(onto.exit_code, 3);
  EXPECT_THAT(onto.err, HasSubstr("would replace it"));
}

TEST_F(Batch, MakesADirectoryOfAResultOfSeveralParts) {
  const Server server("[pools.text]\nmodules = ['" HALVES_MODULE "']\nworkers = 2\n");
  write("in/a.txt", "onetwo");
  write("in/b.txt", std::string(300'000, '1') + std::string(300'000, '2'));
  write("in/more/a.png", "threefour");
  write("in/empty", "");
  const Ended ended = quern(server, words("text.halves", {"-r", path("in/a.txt"), path("in/b.txt"), path("in/empty"),
                                                          path("in/more"), "--jobs", "1"}));
  EXPECT_EQ(ended.exit_code, 3);
  EXPECT_THAT(ended.err, HasSubstr("a.png: invalid_argument: " + path("out/a") + " is the output of another"));
  EXPECT_THAT(files("out"), ElementsAre("a/first", "a/second", "b/first", "b/second", "empty/first", "empty/second"));
  EXPECT_EQ(read("out/a/first"), "one");
  EXPECT_EQ(read("out/a/second"), "two");
  EXPECT_EQ(read("out/b/first"), std::string(300'000, '1'));
  EXPECT_EQ(read("out/b/second"), std::string(300'000, '2'));
}

TEST_F(Batch, KeepsTheFoldersOfADirectoryAndStaysOutOfItsOutputs) {
  const Server server;
  write("in/a.txt", "1");
  write("in/deep/er/b.txt", "2");
  write("in/.hidden/c.txt", "3");
  const Ended flat = quern(server, words("debug.echo", {path("in")}));
  EXPECT_EQ(flat.exit_code, 3);
  EXPECT_THAT(flat.err, HasSubstr("it is a directory; --recursive"));
  const std::vector<std::string> inside{"batch", "debug.echo",   "-r",       path("in"),
                                        "--to",  path("in/out"), "--suffix", "up"};
  EXPECT_EQ(quern(server, inside).exit_code, 0);
  EXPECT_THAT(files("in/out"), ElementsAre("a.up", "deep/er/b.up"));
  EXPECT_EQ(quern(server, inside).exit_code, 0);
  EXPECT_THAT(files("in/out"), SizeIs(2));
}

TEST_F(Batch, LeavesOutWhatIsThereAndNotOlder) {
  const Server server;
  write_texts(5);
  const auto again = words("debug.echo", {path("in/*"), "--skip-existing"});
  EXPECT_THAT(quern(server, again).err, HasSubstr("5 done, in"));
  EXPECT_THAT(quern(server, again).err, HasSubstr("0 done, 5 skipped, in"));
  write("in/3.txt", "changed");
  fs::last_write_time(path("in/3.txt"), fs::last_write_time(path("out/3.txt")) + 1s);
  EXPECT_THAT(quern(server, again).err, HasSubstr("1 done, 4 skipped, in"));
  EXPECT_EQ(read("out/3.txt"), "changed");
}

TEST_F(Batch, ReadsNamesFromAPipe) {
  const Server server;
  write("in/a.txt", "1");
  write("in/two\nlines\x1b[2J.txt", "2");
  const Ended lines = quern(server, words("debug.echo", {"--from", "-"}), path("in/a.txt") + "\n\n" + path("in/b.txt"));
  EXPECT_EQ(lines.exit_code, 3);
  EXPECT_THAT(lines.err, HasSubstr("in/b.txt: "));
  EXPECT_THAT(files("out"), ElementsAre("a.txt"));
  const std::string names = path("in/a.txt") + std::string(1, '\0') + path("in/two\nlines\x1b[2J.txt");
  const Ended nulls = quern(server, words("debug.echo", {"--from", "-", "-0", "-v"}), names);
  EXPECT_EQ(nulls.exit_code, 0) << nulls.err;
  EXPECT_THAT(files("out"), SizeIs(2));
  EXPECT_THAT(nulls.err, HasSubstr("two?lines?[2J.txt -> "));
}

TEST_F(Batch, TellsProgramsOfEachFileInJson) {
  const Server server(kImagePool);
  write_pictures(3);
  write("in/bad.png", "no picture");
  const Ended ended = quern(server, words("image.resize", {path("in/*"), "--width", "8", "--json"}));
  EXPECT_EQ(ended.exit_code, 3);
  std::istringstream lines(ended.out);
  std::vector<boost::json::object> objects;
  for (std::string line; std::getline(lines, line);) objects.push_back(boost::json::parse(line).as_object());
  ASSERT_THAT(objects, SizeIs(5));
  for (const auto& object : std::span(objects).first(4)) {
    const bool bad = object.at("input").as_string() == path("in/bad.png");
    EXPECT_EQ(object.at("ok").as_bool(), !bad);
    EXPECT_GE(object.at("wall_ms").to_number<int>(), 0);
    if (bad) {
      EXPECT_EQ(object.at("error").at("code").as_string(), "bad_input");
    } else {
      EXPECT_EQ(object.at("input_bytes").to_number<std::size_t>(), sizeof kPng);
      EXPECT_EQ(object.at("output_bytes").to_number<std::uint64_t>(),
                fs::file_size(std::string(object.at("output").as_string())));
    }
  }
  const boost::json::object& summary = objects.back().at("summary").as_object();
  EXPECT_EQ(summary.at("done").to_number<int>(), 3);
  EXPECT_EQ(summary.at("failed").to_number<int>(), 1);
}

// ---- Command lines

TEST_F(Batch, RefusesACommandLineThatMakesNoSense) {
  const Server server;
  write("in/a.txt", "1");
  EXPECT_THAT(quern(server, {"batch", "debug.echo", path("in/a.txt")}).err, HasSubstr("--to DIR"));
  EXPECT_THAT(quern(server, words("debug.echo", {})).err, HasSubstr("which files?"));
  EXPECT_THAT(quern(server, words("debug.echo", {"-"})).err, HasSubstr("--from -"));
  EXPECT_THAT(quern(server, words("debug.sleep", {path("in/a.txt")})).err, HasSubstr("takes no input"));
  EXPECT_THAT(quern(server, words("debug.echo", {"--skip-exsting"})).err, HasSubstr("did you mean '--skip-existing'?"));
  EXPECT_EQ(quern(server, words("debug.echo", {"--jobs", "0", path("in/a.txt")})).exit_code, 2);
  EXPECT_EQ(quern(server, {"batch"}).exit_code, 2);
  EXPECT_THAT(quern(server, {"batch", "--help"}).out, HasSubstr("--skip-existing"));
  EXPECT_FALSE(fs::exists(path("out"))) << "nothing was begun";
}

// ---- When things go wrong

TEST_F(Batch, AWorkersDeathIsItsFilesFailure) {
  const Server server;
  write_texts(4);
  auto ended = std::async(std::launch::async, [&] { return quern(server, slow_words(1000, {"--attempts", "1"})); });
  ::kill(server.busy_worker(), SIGSEGV);
  const Ended crashed = ended.get();
  EXPECT_EQ(crashed.exit_code, 3);
  EXPECT_THAT(crashed.err, HasSubstr("worker_crashed"));
  EXPECT_THAT(crashed.err, HasSubstr("3 done, 1 failed"));
  EXPECT_THAT(files("out"), SizeIs(3));
}

TEST_F(Batch, LosesNothingWhenTheServerDiesAndComesBack) {
  Server server;
  write_texts(30);
  auto ended = std::async(std::launch::async, [&] { return quern(server, slow_words(200)); });
  EXPECT_TRUE(eventually([&] { return texts_out() >= 5; }));
  server.signal(SIGKILL);
  EXPECT_EQ(server.wait(), 128 + SIGKILL);
  EXPECT_LT(texts_out(), 30) << "it died in the middle";
  server.start();
  const Ended all = ended.get();
  EXPECT_EQ(all.exit_code, 0) << all.err;
  EXPECT_THAT(files("out"), SizeIs(30));
  for (const std::string& name : files("out")) EXPECT_EQ(read("out/" + name), "survived attempt 1\n") << name;
}

TEST_F(Batch, GivesUpOnAServerThatStaysAway) {
  Server server;
  write_texts(30);
  auto ended = std::async(std::launch::async, [&] { return quern(server, slow_words(100, {"--retry-for", "1"})); });
  EXPECT_TRUE(eventually([&] { return texts_out() >= 5; }));
  server.signal(SIGTERM);
  EXPECT_EQ(server.wait(), 0);
  const Ended away = ended.get();
  EXPECT_EQ(away.exit_code, 4) << away.err;
  EXPECT_THAT(away.err, HasSubstr("stopped before the end: unreachable"));
  for (const std::string& name : files("out")) EXPECT_THAT(name, EndsWith(".txt"));
}

TEST_F(Batch, TriesAgainWhenTheServerIsBusy) {
  const Server server("[pools.debug]\nmodules = ['debug']\nworkers = 1\nqueue_jobs_max = 1\n");
  write_texts(12);
  const Ended ended = quern(server, slow_words(5, {"--no-wait", "--jobs", "8"}));
  EXPECT_EQ(ended.exit_code, 0) << ended.err;
  EXPECT_THAT(files("out"), SizeIs(12));
}

TEST_F(Batch, StopsAtTheFirstFailureWhenAskedTo) {
  const Server server(kImagePool);
  for (int i = 0; i < 30; ++i) write("in/" + std::to_string(i) + ".png", "no picture");
  const Ended ended =
      quern(server, words("image.resize", {path("in/*"), "--width", "8", "--fail-fast", "--jobs", "2"}));
  EXPECT_EQ(ended.exit_code, 3);
  EXPECT_THAT(ended.err, HasSubstr("stopped before the end: "));
  EXPECT_THAT(ended.err, Not(HasSubstr("30 failed")));
}

TEST_F(Batch, InterruptedLeavesOnlyWholeOutputs) {
  const Server server;
  write_texts(200);
  OnTerminal terminal(server, slow_words(100));
  EXPECT_TRUE(eventually([&] { return texts_out() >= 5; }));
  ASSERT_TRUE(server.operate(wire::AdminOp::kPause, "debug"));  // there is something to cancel, however long it takes
  EXPECT_TRUE(eventually([&] { return server.pool().at("queued").to_number<int>() > 0; }));
  terminal.signal(SIGINT);
  EXPECT_EQ(terminal.exit_code(), 8) << terminal.seen();
  EXPECT_THAT(terminal.seen(), HasSubstr("stopped before the end: interrupted"));
  EXPECT_THAT(terminal.seen(), HasSubstr(" cancelled, in "));
  for (const std::string& name : files("out")) EXPECT_EQ(read("out/" + name), "survived attempt 1\n") << name;
}

TEST_F(Batch, InterruptedTwiceDoesNotWaitAndLeavesNothingEither) {
  const Server server("[pools.debug]\nmodules = ['debug']\nworkers = 1\ncancel_grace_ms = 60000\n");
  write_texts(4);
  OnTerminal terminal(server, slow_words(60'000));
  EXPECT_TRUE(terminal.shows(path("in/0.txt") + "  ")) << "a line for each job that runs";
  const pid_t worker = server.busy_worker();
  terminal.signal(SIGINT);
  EXPECT_TRUE(eventually([&] { return server.is_stopping_a_job(); })) << "or both signals are one";
  terminal.forget();
  EXPECT_TRUE(terminal.shows("\x1b[K"));
  terminal.signal(SIGINT);
  EXPECT_EQ(terminal.exit_code(), 8);
  ::kill(worker, SIGKILL);  // who waits for the end of its grace?
  EXPECT_THAT(files("out"), IsEmpty());
}

// ---- On a terminal

TEST_F(Batch, OnATerminalIsABarThatIsErasedForTheSummary) {
  const Server server;
  write_texts(12);
  // the failure comes first: what is to be seen is there from the first redraw to the last
  OnTerminal terminal(server,
                      words(kSlowKind, {"--until-attempt", "1", "--after-ms", "200", path("in/none"), path("in/*")}));
  EXPECT_TRUE(terminal.shows("/13  1 failed  "));
  EXPECT_TRUE(terminal.shows("%")) << "all are known";
  EXPECT_EQ(terminal.exit_code(), 3);
  const std::string end = terminal.seen().substr(terminal.seen().rfind("\x1b[J"));
  EXPECT_THAT(end, HasSubstr("\x1b[Jquern: " + path("in/none") + ": "));
  EXPECT_THAT(end, HasSubstr("12 done, 1 failed, in "));
}

TEST_F(Batch, OnATerminalListsOnlyTheFirstFailures) {
  const Server server;
  std::vector<std::string> none;
  none.reserve(50);
  for (int i = 0; i < 50; ++i) none.push_back(path("in/none" + std::to_string(i)));
  OnTerminal terminal(server, words("debug.echo", none));
  EXPECT_EQ(terminal.exit_code(), 3);
  EXPECT_THAT(terminal.seen(), HasSubstr("... and 30 more; --json lists all\r\n"));
  EXPECT_THAT(terminal.seen(), EndsWith("0 B written\r\n"));
}

}  // namespace
}  // namespace quern::test
