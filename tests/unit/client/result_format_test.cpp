// What formats and the names of files say of each other.
#include "client/cli/result_format.h"

#include <gmock/gmock.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

namespace quern::cli {
namespace {

namespace json = boost::json;

json::object object(const std::string& text) { return json::parse(text).as_object(); }

constexpr const char* kFormat =
    R"({"name":"format","choices":["jpeg","png","webp","tiff","placeholder","auto"],"type":"string")";

json::object resize(const std::string& more = "") { return object(R"({"params":[)" + (kFormat + more) + "}]}"); }

json::object process() {
  return object(std::string(R"({"params":[{"name":"outputs","items":[{"name":"output","params":[)") + kFormat +
                "}]}]}," + kFormat + "}]}");
}

json::object given(const char* format) { return {{"format", format}}; }

std::string settled(const json::object& kind, const std::string& params, std::string_view file) {
  json::object settled = object(params);
  settle_formats(kind, settled, file);
  return json::serialize(settled);
}

TEST(FormatOf, IsWhatTheFilesSuffixMeans) {
  EXPECT_EQ(format_of(resize(), "made.x/a.webp"), "webp");
  for (const char* name : {"a.jpg", "a.JPEG", "a.jpe", "b.c.Jfif"}) EXPECT_EQ(format_of(resize(), name), "jpeg");
  for (const char* name : {"a.tif", "a.TIFF"}) EXPECT_EQ(format_of(resize(), name), "tiff");
  EXPECT_EQ(format_of(resize(), "a.json"), "placeholder");
}

TEST(FormatOf, IsNothingWhereNoChoiceEndsSo) {
  for (const char* name : {"", "-", "a", "a.", ".webp", "a.bmp", "a.auto", "a.placeholder", "webp/a"}) {
    EXPECT_EQ(format_of(resize(), name), std::nullopt) << name;
  }
  EXPECT_EQ(format_of(object(R"({"params":[]})"), "a.webp"), std::nullopt);
  EXPECT_EQ(format_of(object(R"({"params":[{"name":"format","type":"string"}]})"), "a.webp"), std::nullopt);
}

TEST(ResultSuffix, ComesFromTheFormat) {
  EXPECT_EQ(result_suffix(resize(), given("webp")), ".webp");
  EXPECT_EQ(result_suffix(resize(), given("jpeg")), ".jpg");
  EXPECT_EQ(result_suffix(resize(), given("placeholder")), ".json");
  EXPECT_EQ(result_suffix(resize(), given("auto")), std::nullopt);
  EXPECT_EQ(result_suffix(resize(), {}), std::nullopt);
  EXPECT_EQ(result_suffix(resize(R"(,"default":"webp")"), {}), ".webp");
  EXPECT_EQ(result_suffix(object(R"({"params":[]})"), {}), std::nullopt);
}

TEST(ResultSuffix, IsTheKindsOwnWhereItHasOne) {
  EXPECT_EQ(result_suffix(object(R"({"params":[],"output_suffix":".json"})"), {}), ".json");
}

TEST(ResultSuffix, OfOneNamedOutputIsThatOfItsNameOrItsFormat) {
  const auto suffix = [](const char* outputs) { return result_suffix(process(), {{"outputs", json::parse(outputs)}}); };
  EXPECT_EQ(suffix(R"([{"name":"a.webp","format":"webp"}])"), ".webp");
  EXPECT_EQ(suffix(R"([{"name":"a.jpeg","format":"jpeg"}])"), ".jpeg") << "as it is written";
  EXPECT_EQ(suffix(R"([{"name":"a.webp"}])"), ".webp");
  EXPECT_EQ(suffix(R"([{"name":"a","format":"jpeg"}])"), ".jpg");
  EXPECT_EQ(suffix(R"([{"name":"a.v2","format":"webp"}])"), ".webp");
  EXPECT_EQ(suffix(R"([{"name":"a.png","format":"webp"}])"), ".webp") << "what the file is";
  EXPECT_EQ(suffix(R"([{"name":"a"}])"), std::nullopt);
  EXPECT_EQ(suffix(R"([{"name":"a.webp"},{"name":"b.png"}])"), std::nullopt);
  for (const char* wrong : {"[]", "[1]", "{}", "[{}]"}) EXPECT_EQ(suffix(wrong), std::nullopt) << wrong;
}

TEST(SettleFormats, TakesThatOfTheFileWhereNoneIsGiven) {
  EXPECT_EQ(settled(resize(), R"({"width":1})", "a.webp"), R"({"width":1,"format":"webp"})");
  EXPECT_EQ(settled(resize(), R"({"format":"png"})", "a.webp"), R"({"format":"png"})");
  EXPECT_EQ(settled(resize(R"(,"default":"webp")"), "{}", "a.png"), R"({"format":"png"})");
  for (const char* name : {"-", "", "a.bin", "a.bmp"}) EXPECT_EQ(settled(resize(), "{}", name), "{}") << name;
}

TEST(SettleFormats, TakesThoseOfNamedOutputsFromTheirNames) {
  EXPECT_EQ(settled(process(), R"({"outputs":[{"name":"a.webp"},{"name":"b.png","format":"jpeg"},{"name":"c"}]})", ""),
            R"({"outputs":[{"name":"a.webp","format":"webp"},{"name":"b.png","format":"jpeg"},{"name":"c"}]})");
  EXPECT_EQ(settled(process(), R"({"outputs":[{"name":"a.webp"}]})", "out.png"),
            R"({"outputs":[{"name":"a.webp","format":"png"}]})")
      << "the file's is what everybody sees";
  EXPECT_EQ(settled(process(), R"({"outputs":[1,{}]})", "a.png"), R"({"outputs":[1,{}]})");
  EXPECT_EQ(settled(resize(), R"({"outputs":[{"name":"a.webp"}]})", "a.png"), R"({"outputs":[{"name":"a.webp"}]})");
}

}  // namespace
}  // namespace quern::cli
