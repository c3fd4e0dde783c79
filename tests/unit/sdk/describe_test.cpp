#include "worker/sdk/describe.h"

#include <gmock/gmock.h>

#include <boost/json/parse.hpp>

namespace quern::sdk {
namespace {

TEST(Describe, AKindIsOneJsonObject) {
  const Kind kind{
      .name = "mill.grind",
      .summary = "Grinds",
      .params =
          {{.name = "rounds", .type = ParamType::kInteger, .help = "how many", .fallback = 3, .min = 1, .max = 1e6},
           {.name = "grain", .help = "which", .required = true, .choices = {"rye", "oat"}},
           {.name = "gap", .type = ParamType::kNumber, .help = "in mm", .min = 0.25}},
      .input = {.parts_min = 1, .parts_max = 2, .help = "grain"},
      .output = "flour",
      .sensitive = true,
      .run = {}};
  EXPECT_EQ(boost::json::parse(describe(kind)), boost::json::parse(R"({
    "name": "mill.grind", "summary": "Grinds", "output": "flour", "sensitive": true,
    "shared": {"buffers_min": 0, "buffers_max": 0, "help": ""},
    "input": {"parts_min": 1, "parts_max": 2, "help": "grain"},
    "params": [
      {"name": "rounds", "type": "integer", "help": "how many", "required": false, "default": 3, "min": 1, "max": 1000000},
      {"name": "grain", "type": "string", "help": "which", "required": true, "choices": ["rye", "oat"]},
      {"name": "gap", "type": "number", "help": "in mm", "required": false, "min": 0.25}]})"));
}

TEST(Describe, AListHasTheShapesOfItsObjects) {
  const Kind kind{
      .name = "mill.run",
      .summary = "",
      .params = {{.name = "steps",
                  .type = ParamType::kList,
                  .help = "in order",
                  .max = 9,
                  .items = {{.name = "grind",
                             .help = "Grinds",
                             .params = {{.name = "gaps", .type = ParamType::kNumbers, .help = "", .min = 1}}},
                            {.name = "sift", .help = "Sifts", .params = {}}},
                  .tag = "do"}},
      .input = {},
      .output = "",
      .run = {}};
  EXPECT_EQ(boost::json::parse(describe(kind)).at("params"), boost::json::parse(R"([
    {"name": "steps", "type": "list", "help": "in order", "required": false, "max": 9, "tag": "do", "items": [
      {"name": "grind", "help": "Grinds", "params": [
        {"name": "gaps", "type": "numbers", "help": "", "required": false, "min": 1}]},
      {"name": "sift", "help": "Sifts", "params": []}]}])"));
}

TEST(Describe, SaysHowFilesOfResultsEndWhereThatIsKnown) {
  Kind kind;
  kind.name = "mill.weigh";
  EXPECT_THAT(describe(kind), testing::Not(testing::HasSubstr("output_suffix")));
  kind.output_suffix = ".json";
  EXPECT_THAT(describe(kind), testing::HasSubstr(R"("output_suffix":".json")"));
}

TEST(Describe, AHealthKindIsMarkedAndNoOtherIs) {
  Kind kind;
  kind.name = "health.mill";
  EXPECT_THAT(describe(kind, KindRole::kHealth), testing::HasSubstr(R"("canary":true)"));
  EXPECT_THAT(describe(kind), testing::Not(testing::HasSubstr("canary")));
}

TEST(Describe, WholeBoundsAreWrittenAsWholeNumbers) {
  const Kind kind{.name = "a.b",
                  .summary = "",
                  .params = {{.name = "n", .type = ParamType::kInteger, .help = "", .min = 1, .max = 268'402'689}},
                  .input = {},
                  .output = "",
                  .run = {}};
  EXPECT_THAT(describe(kind), testing::HasSubstr(R"("min":1,"max":268402689)"));
}

}  // namespace
}  // namespace quern::sdk
