// How the command line of `quern batch` is understood; arguments_test.cpp has what it shares with `quern run`.
#include "client/cli/batch_arguments.h"

#include <gmock/gmock.h>

#include <boost/json/serialize.hpp>

namespace quern::cli {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

Result<BatchArguments> parse(const std::vector<std::string>& words) {
  static const KindTable kinds = *KindTable::parse(R"({"kinds":[
    {"name":"image.resize","pool":"image","summary":"","output":"","sensitive":false,
     "params":[{"name":"width","type":"integer","help":"","required":false},
               {"name":"json","type":"boolean","help":"the kind's own","required":false}],
     "input":{"parts_min":1,"parts_max":1,"help":"a picture"}},
    {"name":"image.process","pool":"image","summary":"","output":"","sensitive":false,
     "params":[{"name":"format","type":"string","help":"","required":false,"choices":["webp","auto"]},
               {"name":"outputs","type":"list","help":"","required":false,"items":[
                 {"name":"output","help":"","params":[{"name":"format","type":"string","choices":["webp","auto"]}]}]}],
     "input":{"parts_min":1,"parts_max":3,"help":"a picture, and what is laid on it"}},
    {"name":"image.compare","pool":"image","summary":"","output":"","sensitive":false,"params":[],
     "input":{"parts_min":2,"parts_max":2,"help":"two pictures"}}]})");
  return parse_batch(kinds, words);
}

std::string error_of(const std::vector<std::string>& words) {
  const auto batch = parse(words);
  return batch ? "" : to_string(batch.error());
}

TEST(BatchArguments, AreTheJobsAndItsOwn) {
  const auto batch = parse({"--priority",
                            "1",
                            "image.resize",
                            "a.jpg",
                            "--width=320",
                            "-r",
                            "-0",
                            "-v",
                            "b*.jpg",
                            "--to",
                            "out",
                            "--from",
                            "names",
                            "--jobs",
                            "3",
                            "--retry-for",
                            "5",
                            "--skip-existing",
                            "--fail-fast",
                            "--no-progress"});
  ASSERT_TRUE(batch) << to_string(batch.error());
  EXPECT_THAT(batch->inputs, ElementsAre("a.jpg", "b*.jpg"));
  EXPECT_EQ(boost::json::serialize(batch->params), R"({"width":320})");
  EXPECT_EQ(batch->options.priority, 1);
  EXPECT_EQ(batch->to, "out");
  EXPECT_EQ(batch->from, "names");
  EXPECT_EQ(batch->jobs, 3U);
  EXPECT_EQ(batch->retry_for, 5s);
  EXPECT_TRUE(batch->recursive && batch->null_separated && batch->verbose && batch->skip_existing && batch->fail_fast);
  EXPECT_FALSE(batch->json);
  EXPECT_EQ(batch->progress, ProgressWish::kNever);
}

TEST(BatchArguments, BeforeTheKindHideNoParameter) {
  EXPECT_TRUE(parse({"--json", "image.resize", "a", "--to", "out"})->json);
  const auto kinds_own = parse({"image.resize", "--json", "a", "--to", "out"});
  EXPECT_FALSE(kinds_own->json);
  EXPECT_EQ(boost::json::serialize(kinds_own->params), R"({"json":true})");
}

TEST(BatchArguments, ComeWithASuffixThatIsTheEndOfAName) {
  EXPECT_EQ(parse({"image.resize", "a", "--to", "o", "--suffix", "webp"})->suffix, ".webp");
  EXPECT_EQ(parse({"image.resize", "a", "--to", "o", "--suffix", "-small.jpg"})->suffix, "-small.jpg");
  EXPECT_THAT(error_of({"image.resize", "a", "--to", "o", "--suffix", "../x"}), HasSubstr("end of a file's name"));
}

TEST(BatchArguments, ThatMakeNoSenseAreRefused) {
  EXPECT_THAT(error_of({"image.resize", "a"}), HasSubstr("--to DIR"));
  EXPECT_THAT(error_of({"image.resize", "--to", "o"}), HasSubstr("--from FILE"));
  EXPECT_THAT(error_of({"image.resize", "-", "--to", "o"}), HasSubstr("--from -"));
  EXPECT_THAT(error_of({"image.compare", "a", "--to", "o"}), HasSubstr("needs 2 inputs"));
  EXPECT_THAT(error_of({"image.resize", "a", "--to", "o", "--jobs", "1000"}), HasSubstr("between 1 and 256"));
  EXPECT_THAT(error_of({"image.resize", "a", "--to", "o", "--jbos", "1"}), HasSubstr("did you mean '--jobs'?"));
  EXPECT_THAT(error_of({"image.resize", "a", "--to", "o", "--colour"}), HasSubstr("`quern batch image.resize --help`"));
}

TEST(BatchArguments, GiveEachJobAsManyInputsAsItsKindTakes) {
  const auto marked = parse({"image.process", "a", "--also", "mark.png", "--also=b.png", "--to", "o"});
  ASSERT_TRUE(marked) << to_string(marked.error());
  EXPECT_THAT(marked->also, ElementsAre("mark.png", "b.png"));
  EXPECT_THAT(marked->inputs, ElementsAre("a"));
  EXPECT_EQ(error_of({"image.compare", "a", "--to", "o", "--also", "b"}), "");
  EXPECT_THAT(error_of({"image.compare", "a", "--to", "o"}), HasSubstr("--also FILE"));
  EXPECT_THAT(error_of({"image.resize", "a", "--to", "o", "--also", "b"}), HasSubstr("takes at most 1 inputs a job"));
  EXPECT_THAT(error_of({"image.process", "a", "--to", "o", "--also", "-"}), HasSubstr("--also takes a file"));
}

TEST(BatchArguments, ThatLeaveTheFormatToTheJobNeedASuffix) {
  const auto chosen = [](std::vector<std::string> more) {
    more.insert(more.begin(), {"image.process", "a", "--to", "o"});
    return error_of(more);
  };
  EXPECT_THAT(chosen({"--format", "auto"}), HasSubstr("give --suffix"));
  EXPECT_THAT(chosen({"--outputs", R"([{"name":"a","format":"auto"}])"}), HasSubstr("give --suffix"));
  EXPECT_EQ(chosen({"--outputs", R"([{"name":"a.webp","format":"auto"}])"}), "");
  EXPECT_EQ(chosen({"--format", "auto", "--suffix", ".picture"}), "");
}

TEST(BatchArguments, WithoutAKindResizePictures) {
  for (const char* input : {"photos/*.jpg", "*.jpg", "/nowhere/photo", "."}) {
    const auto batch = parse({"--jobs", "2", input, "more.jpg", "--to", "thumbs/", "--width", "320"});
    ASSERT_TRUE(batch) << to_string(batch.error());
    EXPECT_EQ(batch->kind, "image.resize");
    EXPECT_THAT(batch->inputs, ElementsAre(input, "more.jpg"));
  }
  EXPECT_THAT(error_of({"image.resise", "a", "--to", "o"}), HasSubstr("did you mean 'image.resize'?"));
  EXPECT_THAT(error_of({"missing.jpg", "--to", "o"}), HasSubstr("no kind 'missing.jpg', and no such file is there"));
}

TEST(BatchArguments, KeepEveryCoreBusyByDefault) {
  const auto batch = parse({"image.resize", "a", "--to", "o"});
  EXPECT_GE(batch->jobs, 2U);
  EXPECT_LE(batch->jobs, kBatchJobsMax);
  EXPECT_TRUE(parse({"image.resize", "--help"})->help);
}

}  // namespace
}  // namespace quern::cli
