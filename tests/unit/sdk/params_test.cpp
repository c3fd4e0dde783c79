#include "worker/sdk/params.h"

#include <gmock/gmock.h>

#include <array>
#include <boost/json/monotonic_resource.hpp>
#include <boost/json/parse.hpp>
#include <string>

namespace quern::sdk {
namespace {

namespace json = boost::json;
using testing::HasSubstr;

const std::vector<ParamSpec> kSpecs{
    {.name = "width", .type = ParamType::kInteger, .help = "pixels", .required = true, .min = 1, .max = 100},
    {.name = "fit", .help = "how", .fallback = "cover", .choices = {"cover", "contain"}, .synonyms = {"crop"}},
    {.name = "ratio", .type = ParamType::kNumber, .help = "of both", .min = 0, .max = 2},
    {.name = "loud", .type = ParamType::kBoolean, .help = "or not", .fallback = false},
    {.name = "salt", .help = "text", .max = 8},
    {.name = "any", .type = ParamType::kInteger, .help = "unbounded"},
};

// An operation is one of three shapes; an output has operations of its own.
ParamSpec operations() {
  return {.name = "operations",
          .type = ParamType::kList,
          .help = "what is done",
          .max = 3,
          .items = {{.name = "blur",
                     .help = "",
                     .params = {{.name = "sigma", .type = ParamType::kNumber, .help = "", .required = true, .min = 0.3},
                                {.name = "edge", .help = "", .fallback = "copy", .choices = {"copy", "wrap"}}}},
                    {.name = "turn",
                     .help = "",
                     .params = {{.name = "angle", .type = ParamType::kInteger, .help = "", .fallback = 90}}},
                    {.name = "flip", .help = "", .params = {}}},
          .tag = "op"};
}

const std::vector<ParamSpec> kNested{
    operations(),
    {.name = "outputs",
     .type = ParamType::kList,
     .help = "",
     .min = 1,
     .items = {{.name = "an output",
                .help = "",
                .params = {{.name = "name", .help = "", .fallback = "out"}, operations()}}}},
    {.name = "kernel", .type = ParamType::kNumbers, .help = "", .min = 1, .max = 4}};

json::object check(std::string_view text) { return check_params(kSpecs, text, {}); }

JobError refused(std::string_view text, const std::vector<ParamSpec>& specs = kSpecs) {
  try {
    (void)check_params(specs, text, {});
  } catch (const JobError& error) {
    EXPECT_EQ(error.code(), JobErrorCode::kInvalidArgument);
    return error;
  }
  ADD_FAILURE() << text << " was accepted";
  return {JobErrorCode::kInternal, "", ""};
}

TEST(Params, GivenValuesStandAndFallbacksFillTheRest) {
  const auto params = check(R"({"width": 80, "ratio": 1.5})");
  EXPECT_EQ(params, (json::object{{"width", 80}, {"ratio", 1.5}, {"fit", "cover"}, {"loud", false}}));
}

TEST(Params, EmptyTextIsAnEmptyObject) {
  EXPECT_TRUE(check_params({}, "", {}).empty());
  EXPECT_TRUE(check_params({}, " { } ", {}).empty());
}

TEST(Params, AnIntegerMayBeWrittenAsADouble) {
  EXPECT_TRUE(check(R"({"width": 80.0})").at("width").is_int64());
  EXPECT_EQ(check(R"({"width": 8e1})").at("width").as_int64(), 80);
}

TEST(Params, ANumberMayBeWrittenAsAnInteger) {
  EXPECT_EQ(check(R"({"width":1,"ratio":2})").at("ratio").to_number<double>(), 2.0);
}

TEST(Params, AFractionIsNoInteger) {
  const auto error = refused(R"({"width": 80.5})");
  EXPECT_EQ(error.field(), "width");
  EXPECT_STREQ(error.what(), "width must be a whole number between 1 and 100 (got 80.5)");
}

TEST(Params, AnIntegerThatNothingHoldsIsRefused) {
  for (const char* number : {"18446744073709551615", "9223372036854775808", "1e300", "-1e300", "1e400"}) {
    EXPECT_EQ(refused(R"({"width":1,"any":)" + std::string(number) + "}").field(), "any") << number;
  }
  EXPECT_EQ(check(R"({"width":1,"any":9223372036854775807})").at("any").as_int64(), INT64_MAX);
}

TEST(Params, AWrongTypeIsNamedWithWhatIsAllowed) {
  EXPECT_EQ(refused(R"({"width": "80"})").field(), "width");
  EXPECT_EQ(refused(R"({"width": true})").field(), "width");
  EXPECT_EQ(refused(R"({"width": null})").field(), "width");
  EXPECT_EQ(refused(R"({"width": 1, "loud": 1})").field(), "loud");
  EXPECT_THAT(refused(R"({"width": 1, "loud": "yes"})").what(), HasSubstr("loud must be true or false (got \"yes\")"));
  EXPECT_THAT(refused(R"({"width": [1, [2, "three"]]})").what(), HasSubstr("(got a list)"));
  EXPECT_THAT(refused(R"({"width": {"width": 1}})").what(), HasSubstr("(got an object)"));
}

TEST(Params, AValueOutOfRangeIsRefused) {
  EXPECT_EQ(refused(R"({"width": 0})").field(), "width");
  EXPECT_EQ(refused(R"({"width": 101})").field(), "width");
  EXPECT_EQ(refused(R"({"width": 1, "ratio": 2.01})").field(), "ratio");
  EXPECT_EQ(refused(R"({"width": 1, "ratio": 1e999})").field(), "ratio");
}

TEST(Params, AStringsLengthIsItsRangeAndItsTextIsNotRepeated) {
  const auto error = refused(R"({"width": 1, "salt": "password1"})");
  EXPECT_EQ(error.field(), "salt");
  EXPECT_STREQ(error.what(), "salt must be a string with a length in bytes of at most 8 (got 9 bytes)");
}

TEST(Params, AWordThatIsNoChoiceIsToldTheChoices) {
  const auto error = refused(R"({"width": 1, "fit": "fill"})");
  EXPECT_EQ(error.field(), "fit");
  EXPECT_STREQ(error.what(), "fit must be one of cover, contain (got \"fill\")");
}

TEST(Params, ASynonymIsTakenAndNotListed) {
  EXPECT_EQ(check(R"({"width":1,"fit":"crop"})").at("fit"), "crop");
  EXPECT_THAT(refused(R"({"width":1,"fit":"crops"})").what(), HasSubstr("one of cover, contain (got"));
}

TEST(Params, AnUnknownNameIsToldTheNearestOne) {
  const auto error = refused(R"({"widht": 1})");
  EXPECT_EQ(error.field(), "widht");
  EXPECT_THAT(error.what(), HasSubstr("did you mean 'width'?"));
  EXPECT_THAT(refused(R"({"transparency": 1})").what(), HasSubstr("this kind takes width, fit, ratio"));
}

TEST(Params, AMissingRequiredOneIsNamed) {
  const auto error = refused(R"({"fit": "cover"})");
  EXPECT_EQ(error.field(), "width");
  EXPECT_STREQ(error.what(), "width is required: a whole number between 1 and 100");
  EXPECT_EQ(refused("").field(), "width");
}

TEST(Params, ANameGivenTwiceIsRefused) {
  const auto error = refused(R"({"width": 1, "width": 100})");
  EXPECT_EQ(error.field(), "width");
  EXPECT_THAT(error.what(), HasSubstr("given twice"));
  EXPECT_EQ(refused(R"({"width": 1, "wi\u0064th": 2})").field(), "width");
}

TEST(Params, ObjectsInListsAreFilledInAtEveryDepth) {
  const auto params = check_params(
      kNested, R"({"operations":[{"op":"turn"},{"op":"flip"}],"outputs":[{"operations":[{"sigma":2,"op":"blur"}]}]})",
      {});
  EXPECT_EQ(params, json::parse(R"({"operations":[{"op":"turn","angle":90},{"op":"flip"}],
    "outputs":[{"name":"out","operations":[{"op":"blur","sigma":2,"edge":"copy"}]}]})"));
  EXPECT_TRUE(check_params(kNested, R"({"operations":[]})", {}).at("operations").as_array().empty());
}

TEST(Params, ObjectsInTheFallbackOfAListAreFilledInToo) {
  ParamSpec list = operations();
  list.fallback = json::array{json::object{{"op", "turn"}}};
  EXPECT_EQ(check_params(std::vector{list}, "", {}), json::parse(R"({"operations":[{"op":"turn","angle":90}]})"));
}

TEST(Params, AFieldInAListIsNamedByItsPath) {
  struct Case {
    const char* text;
    const char* field;
    const char* message;
  };
  for (const Case& each : {
           Case{R"({"operations":[{"op":"blur","sigma":0.1}]})", "operations[0].sigma",
                "operations[0].sigma must be a number of at least 0.3 (got 0.1)"},
           Case{R"({"outputs":[{},{"operations":[{"op":"flip"},{"op":"blur"}]}]})", "outputs[1].operations[1].sigma",
                "outputs[1].operations[1].sigma is required: a number of at least 0.3"},
           Case{R"({"operations":[{"op":"blur","sigma":1,"edge":"cut"}]})", "operations[0].edge",
                R"(operations[0].edge must be one of copy, wrap (got "cut"))"},
           Case{R"({"operations":[{"op":"blur","sigm":1}]})", "operations[0].sigm",
                "there is no parameter 'operations[0].sigm'; did you mean 'sigma'?"},
           Case{R"({"operations":[{"op":"blur","strength":1}]})", "operations[0].strength",
                "there is no parameter 'operations[0].strength'; blur takes sigma, edge"},
           Case{R"({"operations":[{"op":"flip","over":1}]})", "operations[0].over",
                "there is no parameter 'operations[0].over'; flip takes none"},
           Case{R"({"outputs":[{"op":"flip"}]})", "outputs[0].op",
                "there is no parameter 'outputs[0].op'; an output takes name, operations"},
           Case{R"({"operations":[{"op":"blurr"}]})", "operations[0].op",
                R"(operations[0].op can't be "blurr"; did you mean 'blur'?)"},
           Case{R"({"operations":[{"op":"mirror"}]})", "operations[0].op",
                R"(operations[0].op must be one of blur, turn, flip (got "mirror"))"},
           Case{R"({"operations":[{"op":7}]})", "operations[0].op",
                "operations[0].op must be one of blur, turn, flip (got 7)"},
           Case{R"({"operations":[{"sigma":7}]})", "operations[0].op",
                "operations[0].op is required: one of blur, turn, flip"},
           Case{R"({"operations":["flip"]})", "operations[0]", R"(operations[0] must be an object (got "flip"))"},
           Case{R"({"operations":[[]]})", "operations[0]", "operations[0] must be an object (got a list)"},
           Case{R"({"operations":{"op":"flip"}})", "operations",
                "operations must be a list of objects with a length of at most 3 (got an object)"},
           Case{R"({"operations":[{},{},{},{}]})", "operations",
                "operations must be a list of objects with a length of at most 3 (got 4)"},
           Case{R"({"outputs":[]})", "outputs",
                "outputs must be a list of objects with a length of at least 1 (got 0)"},
       }) {
    const auto error = refused(each.text, kNested);
    EXPECT_EQ(error.field(), each.field);
    EXPECT_STREQ(error.what(), each.message);
  }
}

TEST(Params, AListOfNumbersHoldsNothingElse) {
  EXPECT_EQ(check_params(kNested, R"({"kernel":[1,0.5,-2e3]})", {}).at("kernel"), json::parse("[1,0.5,-2e3]"));
  EXPECT_STREQ(refused(R"({"kernel":[1,"2"]})", kNested).what(), R"(kernel[1] must be a number (got "2"))");
  EXPECT_EQ(refused(R"({"kernel":[1,[2]]})", kNested).field(), "kernel[1]");
  EXPECT_EQ(refused(R"({"kernel":[1,1e999]})", kNested).field(), "kernel[1]");
  EXPECT_STREQ(refused(R"({"kernel":[]})", kNested).what(),
               "kernel must be a list of numbers with a length between 1 and 4 (got 0)");
  EXPECT_EQ(refused(R"({"kernel":[1,2,3,4,5]})", kNested).field(), "kernel");
  EXPECT_EQ(refused(R"({"kernel":1})", kNested).field(), "kernel");
}

TEST(Params, ANameGivenTwiceIsRefusedAtEveryDepth) {
  const auto error = refused(R"({"outputs":[{},{"operations":[{"op":"flip","op":"turn"}]}]})", kNested);
  EXPECT_EQ(error.field(), "outputs[1].operations[0].op");
  EXPECT_STREQ(error.what(), "parameter 'outputs[1].operations[0].op' is given twice");
  EXPECT_NO_THROW((void)check_params(kNested, R"({"operations":[{"op":"flip"},{"op":"flip"}]})", {}));
}

TEST(Params, WhatIsNoJsonObjectHasTheFieldParams) {
  for (const char* text : {"{", "[]", "1", "null", "\"text\"", "{} {}", R"({"width":1)", R"({"width":1,})", "{width:1}",
                           "nonsense", R"({"width":01})", "\xff\xfe", R"({"a":"\ud800"})", " "}) {
    EXPECT_EQ(refused(text).field(), "params") << text;
  }
}

TEST(Params, DepthAndSizeAreBounded) {
  EXPECT_EQ(refused(std::string(10'000, '[')).field(), "params");
  EXPECT_EQ(refused(R"({"width":)" + std::string(10'000, '[')).field(), "params");
  std::string nested;
  for (int i = 0; i < 1000; ++i) nested += R"({"a":[)";
  EXPECT_EQ(refused(nested).field(), "params");
  EXPECT_EQ(refused("{\"width\":1}" + std::string(kParamsBytesMax, ' ')).field(), "params");
}

TEST(Params, MemoryComesFromTheGivenResource) {
  std::array<unsigned char, 4096> buffer{};
  json::monotonic_resource memory(buffer.data(), buffer.size());
  const auto params = check_params(kSpecs, R"({"width": 7, "salt": "12345678"})", &memory);
  EXPECT_EQ(params.storage().get(), &memory);
  EXPECT_EQ(params.at("fit").storage().get(), &memory);
  const auto* salt = reinterpret_cast<const unsigned char*>(params.find("salt"));
  EXPECT_TRUE(salt >= buffer.data() && salt < buffer.data() + buffer.size());

  const auto nested = check_params(kNested, R"({"operations":[{"op":"turn"}]})", &memory);
  EXPECT_EQ(nested.at("operations").at(0).at("angle").storage().get(), &memory);
}

}  // namespace
}  // namespace quern::sdk
