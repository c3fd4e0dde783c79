// What `quern kinds` and `quern run KIND --help` print.
#include "client/cli/kind_text.h"

#include <gmock/gmock.h>

#include <boost/json/parse.hpp>

namespace quern::cli {
namespace {

using ::testing::HasSubstr;

boost::json::object kind() {
  const char* const operations = R"({"name":"operations","type":"list","help":"in this order","required":false,"max":9,
    "tag":"op","items":[
      {"name":"blur","help":"Blurs","params":[
        {"name":"sigma","type":"number","help":"how far","required":true,"min":0.3},
        {"name":"edge","type":"string","help":"","required":false,"default":"copy","choices":["copy","wrap"]}]},
      {"name":"flip","help":"Upside down","params":[]}]})";
  return boost::json::parse(
             std::string(R"({"name":"image.process","pool":"image","summary":"Does much","output":"pictures",
    "input":{"parts_min":1,"parts_max":1,"help":"a picture"},"params":[
      {"name":"width","type":"integer","help":"in pixels","required":false,"min":1,"max":100},)") +
             operations + R"(,{"name":"outputs","type":"list","help":"","required":true,"items":[
        {"name":"an output","help":"","params":[
          {"name":"name","type":"string","help":"its part","required":false},)" +
             operations + R"(]}]},
      {"name":"kernel","type":"numbers","help":"","required":false,"min":1}]})")
      .as_object();
}

TEST(KindText, TellsWhatAListsObjectsLookLike) {
  EXPECT_EQ(kind_text(kind(), ShapeDetail::kWhole),
            "image.process  (pool image)\n"
            "  Does much\n"
            "  input:  a picture\n"
            "  output: pictures\n"
            "  --width                integer 1..100               in pixels\n"
            "  --operations           list of objects <= 9         in this order\n"
            "      \"op\": \"blur\"           Blurs\n"
            "          sigma                  number >= 0.3                how far (required)\n"
            "          edge                   copy|wrap                     (default copy)\n"
            "      \"op\": \"flip\"           Upside down\n"
            "  --outputs              list of objects               (required)\n"
            "      name                   string                       its part\n"
            "      operations             list of objects <= 9         in this order\n"
            "          as in operations\n"
            "  --kernel               list of numbers >= 1         \n");
}

TEST(KindText, PutsHelpBelowManyChoices) {
  const auto wide = boost::json::parse(R"({"name":"a.b","pool":"p","summary":"","output":"","input":{"parts_max":0},
    "params":[{"name":"blend","type":"string","help":"how","required":false,"default":"over",
               "choices":["over","multiply","screen","overlay","darken"]},
              {"name":"gamma","type":"number","help":"","required":false,"default":2.2}]})")
                        .as_object();
  EXPECT_THAT(kind_text(wide, ShapeDetail::kWhole),
              HasSubstr("  --blend                over|multiply|screen|overlay|darken\n"
                        "                                                      how (default over)\n"
                        "  --gamma                number                        (default 2.2)\n"));
}

TEST(KindText, OrOnlyNamesTheShapes) {
  const std::string text = kind_text(kind(), ShapeDetail::kNames);
  EXPECT_THAT(text, HasSubstr("in this order\n      op: blur flip\n  --outputs"));
  EXPECT_THAT(text, HasSubstr("      name                   string"));
}

}  // namespace
}  // namespace quern::cli
