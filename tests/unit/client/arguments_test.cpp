// How the command line of `quern run` is understood.
#include "client/cli/arguments.h"

#include <gmock/gmock.h>

#include <boost/json/serialize.hpp>

#include "client/cli/exit_code.h"
#include "client/cli/nearest.h"

namespace quern::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

KindTable kinds() {
  return *KindTable::parse(R"({"kinds":[
    {"name":"image.resize","pool":"image","summary":"","output":"","sensitive":false,
     "params":[{"name":"width","type":"integer","help":"","required":false},
               {"name":"sharpen_by","type":"number","help":"","required":false},
               {"name":"format","type":"string","help":"","required":false,"choices":["webp","jpeg"]},
               {"name":"operations","type":"list","help":"","required":false,"items":[]},
               {"name":"kernel","type":"numbers","help":"","required":false},
               {"name":"rotate","type":"boolean","help":"","required":false,"default":true},
               {"name":"priority","type":"integer","help":"the kind's own","required":false}],
     "input":{"parts_min":1,"parts_max":2,"help":"a picture"}},
    {"name":"debug.noop","pool":"debug","summary":"","output":"","sensitive":false,"params":[],
     "input":{"parts_min":0,"parts_max":0,"help":""}},
    {"name":"debug.echo","pool":"debug","summary":"","output":"","sensitive":false,"params":[],
     "input":{"parts_min":0,"parts_max":64,"help":""}}]})");
}

Result<RunArguments> parse(std::vector<std::string> words, bool piped = false) {
  return parse_run(kinds(), words, piped);
}

std::string params_of(std::vector<std::string> words) {
  const auto run = parse(std::move(words));
  return run ? boost::json::serialize(run->params) : to_string(run.error());
}

TEST(RunArguments, AreTypedAsTheKindSays) {
  EXPECT_EQ(params_of({"image.resize", "--width", "320", "--sharpen-by=0.5", "--format", "webp", "a.jpg"}),
            R"({"width":320,"sharpen_by":5E-1,"format":"webp"})");
  EXPECT_THAT(params_of({"image.resize", "--width", "wide", "a.jpg"}), HasSubstr("--width must be integer"));
  EXPECT_THAT(params_of({"image.resize", "--width", "3.5", "a.jpg"}), HasSubstr("(got '3.5')"));
  EXPECT_THAT(params_of({"image.resize", "a.jpg", "--width"}), HasSubstr("--width needs a value"));
  EXPECT_THAT(params_of({"image.resize", "--width", "1", "--width", "2"}), HasSubstr("given twice"));
}

TEST(RunArguments, ThatAreListsAreJson) {
  EXPECT_EQ(params_of({"image.resize", "--operations", R"([{"op":"blur"}])", "--kernel=[1, 2]", "a.jpg"}),
            R"({"operations":[{"op":"blur"}],"kernel":[1,2]})");
  EXPECT_THAT(params_of({"image.resize", "--operations", "blur", "a.jpg"}), HasSubstr("--operations must be JSON"));
}

TEST(RunArguments, SayYesAndNoInManyWays) {
  for (const char* yes : {"--rotate", "--rotate=true", "--rotate=yes"}) {
    EXPECT_EQ(params_of({"image.resize", yes, "a.jpg"}), R"({"rotate":true})") << yes;
  }
  EXPECT_EQ(params_of({"image.resize", "--no-rotate", "a.jpg"}), R"({"rotate":false})");
  EXPECT_EQ(params_of({"image.resize", "--rotate", "false", "a.jpg"}), R"({"rotate":false})");
  EXPECT_THAT(params_of({"image.resize", "--rotate=maybe", "a.jpg"}), HasSubstr("--rotate must be boolean"));
}

TEST(RunArguments, OfTheJobAndOfTheKindNeverHideEachOther) {
  const auto run = parse({"--priority", "9", "image.resize", "--priority", "3", "--attempts=1", "--no-wait", "a.jpg"});
  ASSERT_TRUE(run) << to_string(run.error());
  EXPECT_EQ(run->options.priority, 9) << "before the kind it is the job's";
  EXPECT_EQ(boost::json::serialize(run->params), R"({"priority":3})") << "after it, the kind's own";
  EXPECT_EQ(run->options.attempts, 1U) << "the kind has none of that name";
  EXPECT_TRUE(run->options.no_wait);
}

TEST(RunArguments, ThatAreMistypedGetAHint) {
  EXPECT_THAT(params_of({"image.resize", "--widht", "1"}), HasSubstr("did you mean '--width'?"));
  EXPECT_THAT(params_of({"image.resize", "--colour", "1"}), HasSubstr("`quern run image.resize --help` lists them"));
  EXPECT_THAT(params_of({"image.resise"}), HasSubstr("did you mean 'image.resize'?"));
  EXPECT_THAT(params_of({"--width", "1", "image.resize"}), HasSubstr("a kind's parameters follow the kind"));
  EXPECT_THAT(params_of({"image.resize", "-w", "1"}), HasSubstr("no option -w"));
  EXPECT_THAT(params_of({"--priority", "10", "debug.noop"}), HasSubstr("between 0 and 9"));
  EXPECT_EQ(exit_code_of(parse({"image.resize", "--widht", "1"}).error().code), kUsage);
}

TEST(RunArguments, NameInputsAndOutput) {
  const auto run = parse({"image.resize", "a.jpg", "-o", "out", "--", "--b.jpg"});
  ASSERT_TRUE(run) << to_string(run.error());
  EXPECT_THAT(run->inputs, ElementsAre("a.jpg", "--b.jpg"));
  EXPECT_EQ(run->output, "out");
  EXPECT_EQ(parse({"debug.noop", "--output=x"})->output, "x");
  EXPECT_EQ(parse({"-o", "x", "debug.noop"})->output, "x");
  EXPECT_THAT(params_of({"debug.noop", "-o"}), HasSubstr("-o needs a value"));
  EXPECT_THAT(params_of({"image.resize", "a", "b", "c"}), HasSubstr("at most 2 inputs"));
  EXPECT_THAT(params_of({"debug.noop", "a"}), HasSubstr("takes no input"));
  EXPECT_THAT(params_of({"debug.echo", "-", "-"}), HasSubstr("only once"));
}

TEST(RunArguments, SayWhetherProgressIsShown) {
  EXPECT_EQ(parse({"debug.noop"})->progress, ProgressWish::kOnTerminal);
  EXPECT_EQ(parse({"debug.noop", "--progress"})->progress, ProgressWish::kAlways);
  EXPECT_EQ(parse({"--no-progress", "debug.noop"})->progress, ProgressWish::kNever);
  EXPECT_THAT(params_of({"debug.noop", "--progres"}), HasSubstr("did you mean '--progress'?"));
}

TEST(RunArguments, ReadStandardInputWhenTheKindTakesAnInput) {
  EXPECT_THAT(parse({"image.resize"})->inputs, ElementsAre("-"));
  EXPECT_THAT(parse({"debug.echo"}, true)->inputs, ElementsAre("-"));
  EXPECT_TRUE(parse({"debug.echo"}, false)->inputs.empty()) << "a person at a terminal need not press Ctrl-D";
  EXPECT_TRUE(parse({"debug.noop"}, true)->inputs.empty());
}

TEST(RunArguments, AskForHelpInBothPlaces) {
  EXPECT_TRUE(parse({"--no-wait", "--help"})->kind.empty());
  EXPECT_EQ(parse({"debug.noop", "--help"})->kind, "debug.noop");
  EXPECT_TRUE(parse({"debug.noop", "-h"})->help);
  EXPECT_FALSE(parse({"--no-wait"})) << "which kind?";
}

TEST(ExitCodes, TellApartWhatAScriptMustTellApart) {
  EXPECT_EQ(exit_code_of(ErrorCode::kInvalidArgument), 2);
  EXPECT_EQ(exit_code_of(ErrorCode::kBadInput), 3);
  EXPECT_EQ(exit_code_of(ErrorCode::kUnreachable), 4);
  EXPECT_EQ(exit_code_of(ErrorCode::kBusy), 5);
  EXPECT_EQ(exit_code_of(ErrorCode::kShuttingDown), 5);
  EXPECT_EQ(exit_code_of(ErrorCode::kTimeout), 6);
  EXPECT_EQ(exit_code_of(ErrorCode::kWorkerCrashed), 7);
  EXPECT_EQ(exit_code_of(ErrorCode::kCancelled), 8);
}

TEST(DidYouMean, KnowsANearWordFromAnotherOne) {
  const std::vector<std::string> known{"width", "height"};
  EXPECT_EQ(did_you_mean("widht", known), "; did you mean 'width'?");
  EXPECT_EQ(did_you_mean("colour", known), "");
  EXPECT_EQ(did_you_mean("x", {}), "");
}

}  // namespace
}  // namespace quern::cli
