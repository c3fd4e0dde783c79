// What all operations have in common.
#include <fstream>
#include <map>
#include <set>

#include "tests/unit/jobs/operations.h"
#include "tests/unit/jobs/pictures.h"
#include "worker/jobs/image/css_color.h"
#include "worker/sdk/describe.h"

namespace quern::image {
namespace {

using testing::HasSubstr;

TEST(ImageOperations, AreAppliedInTheirOrder) {
  const cv::Mat picture = greys({{10, 20, 30}});
  EXPECT_EQ(reds(applied(R"([{"op":"extract","left":1,"top":0,"width":2,"height":1},{"op":"flop"}])", picture)),
            (std::vector<std::vector<int>>{{30, 20}}));
  EXPECT_EQ(reds(applied(R"([{"op":"flop"},{"op":"extract","left":1,"top":0,"width":2,"height":1}])", picture)),
            (std::vector<std::vector<int>>{{20, 10}}));
  EXPECT_EQ(reds(applied("[]", picture)), reds(picture));
}

// With the least that each needs, on pictures of all shapes, down to a pixel.
TEST(ImageOperations, EachMakesAPictureOfAnyPictureAndLeavesItsInputAlone) {
  const std::map<std::string_view, std::string_view> needed{{"resize", R"(,"width":3)"},
                                                            {"extract", R"(,"left":0,"top":0,"width":1,"height":1)"},
                                                            {"rotate", R"(,"angle":33)"},
                                                            {"convolve", R"(,"width":3,"height":1,"kernel":[1,2,1])"},
                                                            {"tint", R"(,"color":"red")"},
                                                            {"clahe", R"(,"width":3,"height":3)"},
                                                            {"recomb", R"(,"matrix":[1,0,0,0,1,0,0,0,1])"},
                                                            {"extract_channel", R"(,"channel":"green")"},
                                                            {"bandbool", R"(,"operator":"and")"},
                                                            {"boolean", R"(,"operator":"or")"}};
  std::set<std::string> names;
  for (const OperationKind& kind : operation_kinds()) {
    EXPECT_TRUE(names.insert(kind.spec.name).second) << kind.spec.name << " is there twice";
    const auto more = needed.find(kind.spec.name);
    const std::string list = R"([{"op":")" + kind.spec.name + "\"" +
                             (more == needed.end() ? std::string() : std::string(more->second)) + "}]";
    for (const cv::Size size : {cv::Size(1, 1), cv::Size(1, 9), cv::Size(17, 2), cv::Size(40, 30)}) {
      for (const cv::Mat& picture :
           {gradient(size.width, size.height), with_alpha_of(gradient(size.width, size.height), 100)}) {
        const cv::Mat before = picture.clone();
        const cv::Mat after = applied(list, picture, {before});
        EXPECT_TRUE(after.type() == CV_8UC3 || after.type() == CV_8UC4) << list;
        EXPECT_FALSE(after.empty()) << list << size;
        EXPECT_EQ(difference(picture, before), 0) << list;
      }
    }
  }
  EXPECT_EQ(names.size(), 31U);
}

TEST(ImageOperations, AreRefusedByTheirPath) {
  EXPECT_EQ(refused_operations(R"([{"op":"flip"},{"op":"blur","sigma":0.1}])").field(), "operations[1].sigma");
  EXPECT_EQ(refused_operations(R"([{"op":"tint","color":"blurple"}])").field(), "operations[0].color");
  EXPECT_EQ(refused_operations(R"([{"op":"composite"}])").field(), "operations[0].input");
  EXPECT_THAT(refused_operations(R"([{"op":"rotat","angle":90}])").what(), HasSubstr("did you mean 'rotate'?"));
}

TEST(ImageOperations, MakeNoPictureAboveTheLimits) {
  for (const char* list :
       {R"([{"op":"extend","top":16383}])", R"([{"op":"extend","left":16383,"extend_with":"repeat"}])"}) {
    const auto error = refused_operations(list);
    EXPECT_EQ(error.code(), sdk::JobErrorCode::kTooLarge);
    EXPECT_EQ(error.field(), "operations[0]");
  }
  Applied rotation(R"([{"op":"rotate","angle":45}])");
  rotation.limits.pixels_max = 150;
  EXPECT_EQ(sdk::error_of([&] { (void)rotation.to(one_color(10, 10, {})); }).code(), sdk::JobErrorCode::kTooLarge);
}

TEST(ImageOperations, StopWhenTheJobIsCancelled) {
  for (const char* op : {R"("greyscale")", R"("normalise")", R"("sharpen","sigma":1)", R"("composite")"}) {
    Applied operation(std::string(R"([{"op":)") + op + "}]", {one_color(50, 50, {})});
    operation.job.polls_until_cancel = 10;
    EXPECT_EQ(sdk::error_of([&] { (void)operation.to(one_color(50, 50, {})); }).code(), sdk::JobErrorCode::kCancelled);
  }
}

// A row of a table: its parameters stand there in backquotes.
TEST(ImageOperations, AreAllInTheDocument) {
  std::ifstream file(QUERN_SOURCE_DIR "/docs/image-operations.md");
  ASSERT_TRUE(file);
  std::map<std::string, std::string> rows;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("| `")) rows[line.substr(3, line.find('`', 3) - 3)] = line;
  }
  EXPECT_EQ(rows.size(), operation_kinds().size());
  for (const OperationKind& kind : operation_kinds()) {
    ASSERT_TRUE(rows.contains(kind.spec.name)) << kind.spec.name;
    for (const sdk::ParamSpec& param : kind.spec.params) {
      EXPECT_THAT(rows[kind.spec.name], HasSubstr("`" + param.name + "`"));
    }
  }
}

// A kind's description is one control packet; two lists of operations must fit.
TEST(ImageOperations, TheirDescriptionIsShortEnoughToBeSent) {
  sdk::Kind kind = operations_kind();
  kind.params.push_back(operations_param());
  EXPECT_LT(sdk::describe(kind).size(), 48U << 10);
}

TEST(CssColor, IsReadInAllItsForms) {
  EXPECT_EQ(parse_color("#fA0", "f"), (Color{255, 170, 0, 255}));
  EXPECT_EQ(parse_color("#fa08", "f"), (Color{255, 170, 0, 136}));
  EXPECT_EQ(parse_color("#102030", "f"), (Color{16, 32, 48, 255}));
  EXPECT_EQ(parse_color("#10203040", "f"), (Color{16, 32, 48, 64}));
  EXPECT_EQ(parse_color("rgb(1, 2, 3)", "f"), (Color{1, 2, 3, 255}));
  EXPECT_EQ(parse_color("rgba(1,2,3,0.5)", "f"), (Color{1, 2, 3, 128}));
  EXPECT_EQ(parse_color("rgb(100% 50% 0 / 20%)", "f"), (Color{255, 128, 0, 51}));
  EXPECT_EQ(parse_color("rgb(300, -5, 3.5)", "f"), (Color{255, 0, 4, 255})) << "cut, as in CSS";
  EXPECT_EQ(parse_color("White", "f"), (Color{255, 255, 255, 255}));
  EXPECT_EQ(parse_color("transparent", "f"), (Color{0, 0, 0, 0}));
}

TEST(CssColor, OrItsFieldIsNamed) {
  for (const char* text : {"", "#", "#12", "#12345", "#1234567", "#123456789", "#ggg", "123456", "rgb()", "rgb(1,2)",
                           "rgb(1,2,3,4,5)", "rgb(a,b,c)", "rgb(1,2,3", "whitish", "rgb(1e2,0,0)", "rgb(%,0,0)"}) {
    const auto error = sdk::error_of([&] { (void)parse_color(text, "outputs[0].background"); });
    EXPECT_EQ(error.field(), "outputs[0].background") << text;
    EXPECT_THAT(error.what(), HasSubstr("outputs[0].background must be #rgb"));
  }
}

}  // namespace
}  // namespace quern::image
