#include "worker/sdk/params.h"

#include <gmock/gmock.h>

#include <array>
#include <boost/json/monotonic_resource.hpp>
#include <string>

namespace quern::sdk {
namespace {

namespace json = boost::json;
using testing::HasSubstr;

const std::vector<ParamSpec> kSpecs{
    {.name = "width", .type = ParamType::kInteger, .help = "pixels", .required = true, .min = 1, .max = 100},
    {.name = "fit", .help = "how", .fallback = "cover", .choices = {"cover", "contain"}},
    {.name = "ratio", .type = ParamType::kNumber, .help = "of both", .min = 0, .max = 2},
    {.name = "loud", .type = ParamType::kBoolean, .help = "or not", .fallback = false},
    {.name = "salt", .help = "text", .max = 8},
    {.name = "any", .type = ParamType::kInteger, .help = "unbounded"},
};

json::object check(std::string_view text) { return check_params(kSpecs, text, {}); }

JobError refused(std::string_view text) {
  try {
    (void)check(text);
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

TEST(Params, WhatIsNoJsonObjectHasTheFieldParams) {
  for (const char* text : {"{", "[]", "1", "null", "\"text\"", "{} {}", R"({"width":1)", R"({"width":1,})", "{width:1}",
                           "nonsense", R"({"width":01})", "\xff\xfe", R"({"a":"\ud800"})", " "}) {
    EXPECT_EQ(refused(text).field(), "params") << text;
  }
}

TEST(Params, DepthAndSizeAreBounded) {
  EXPECT_EQ(refused(std::string(10'000, '[')).field(), "params");
  EXPECT_EQ(refused(R"({"width":)" + std::string(10'000, '[')).field(), "params");
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
}

}  // namespace
}  // namespace quern::sdk
