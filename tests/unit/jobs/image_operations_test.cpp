// What all operations have in common.
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
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

// The least that each needs.
std::string least_of(const std::string& op) {
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
  const auto more = needed.find(op);
  return R"({"op":")" + op + "\"" + (more == needed.end() ? std::string() : std::string(more->second)) + "}";
}

// Of all shapes, down to a pixel.
std::vector<cv::Mat> pictures() {
  std::vector<cv::Mat> all;
  for (const cv::Size size : {cv::Size(1, 1), cv::Size(1, 9), cv::Size(17, 2), cv::Size(40, 30)}) {
    all.push_back(gradient(size.width, size.height));
    all.push_back(with_alpha_of(all.back(), 100));
  }
  return all;
}

TEST(ImageOperations, EachMakesAPictureOfAnyPictureAndLeavesItsInputAlone) {
  std::set<std::string> names;
  for (const OperationKind& kind : operation_kinds()) {
    EXPECT_TRUE(names.insert(kind.spec.name).second) << kind.spec.name << " is there twice";
    const std::string list = "[" + least_of(kind.spec.name) + "]";
    for (const cv::Mat& picture : pictures()) {
      const cv::Mat before = picture.clone();
      const cv::Mat after = applied(list, picture, {before});
      EXPECT_TRUE(after.type() == CV_8UC3 || after.type() == CV_8UC4) << list;
      EXPECT_FALSE(after.empty()) << list << picture.size();
      EXPECT_EQ(difference(picture, before), 0) << list;
    }
  }
  EXPECT_EQ(names.size(), 31U);
}

// A sanitizer watches.
TEST(ImageOperations, EachTakesTheEndsOfItsRanges) {
  std::size_t done = 0;
  for (const OperationKind& kind : operation_kinds()) {
    if (kind.spec.name == "resize") continue;  // up to 16383 x 16383, whatever the limits: that takes seconds
    for (const sdk::ParamSpec& param : kind.spec.params) {
      if (param.type != sdk::ParamType::kInteger && param.type != sdk::ParamType::kNumber) continue;
      for (const double value : {*param.min, *param.max}) {
        auto object = boost::json::parse(least_of(kind.spec.name)).as_object();
        object[param.name] = value;
        if (object.contains("left") && kind.spec.name == "composite") object["top"] = value;
        for (const cv::Mat& picture : pictures()) {
          try {
            Applied operation("[" + boost::json::serialize(object) + "]", {picture.clone()});
            operation.limits.pixels_max = 1 << 18;
            EXPECT_FALSE(operation.to(picture).empty());
            ++done;
          } catch (const sdk::JobError& refusal) {
            EXPECT_FALSE(refusal.field().empty()) << refusal.what();
          }
        }
      }
    }
  }
  EXPECT_GT(done, 400U);
}

TEST(ImageOperations, AreRefusedByTheirPath) {
  EXPECT_EQ(refused_operations(R"([{"op":"flip"},{"op":"blur","sigma":0.1}])").field(), "operations[1].sigma");
  EXPECT_EQ(refused_operations(R"([{"op":"tint","color":"blurple"}])").field(), "operations[0].color");
  EXPECT_EQ(refused_operations(R"([{"op":"composite"}])").field(), "operations[0].input");
  EXPECT_STREQ(refused_operations(R"([{"op":"composite"}])").what(),
               "operations[0].input is 1: that is the job's input 2, and it has only 1")
      << "as errors about what is in that file call it";
  EXPECT_THAT(refused_operations(R"([{"op":"boolean","operator":"or","input":16}])").what(),
              HasSubstr("operations[0].input must be a whole number between 1 and 15"));
  EXPECT_THAT(refused_operations(R"([{"op":"rotat","angle":90}])").what(), HasSubstr("did you mean 'rotate'?"));
}

TEST(ImageOperations, MakeNoPictureAboveTheLimits) {
  for (const char* list :
       {R"([{"op":"extend","top":16383}])", R"([{"op":"extend","left":16383,"extend_with":"repeat"}])"}) {
    const auto error = refused_operations(list);
    EXPECT_EQ(error.code(), sdk::JobErrorCode::kTooLarge);
    EXPECT_EQ(error.field(), "operations[0]");
  }
  EXPECT_THAT(refused_operations(R"([{"op":"extend","top":16383}])").what(),
              HasSubstr("4 x 16387 pixels; at most 16383 a side and 268402689 in all are allowed: resize it to less"));
  Applied rotation(R"([{"op":"rotate","angle":45}])");
  rotation.limits.pixels_max = 150;
  EXPECT_EQ(sdk::error_of([&] { (void)rotation.to(one_color(10, 10, {})); }).code(), sdk::JobErrorCode::kTooLarge);
}

TEST(ImageOperations, TakeWhatIsAboveTheLimitsIfTheyDoNotEnlargeIt) {
  const cv::Mat wide = one_color(20'000, 10, {1, 2, 3});
  EXPECT_EQ(applied(R"([{"op":"extract","left":500,"top":0,"width":19000,"height":5}])", wide).size(),
            cv::Size(19'000, 5));
  for (const char* angle : {"90", "180", "-90", "360"}) {
    EXPECT_EQ(applied(R"([{"op":"rotate","angle":)" + std::string(angle) + "}]", wide).total(), wide.total());
  }
  EXPECT_EQ(applied(R"([{"op":"flip"},{"op":"blur"},{"op":"trim"}])", wide).size(), wide.size());
  EXPECT_EQ(refused_operations(R"([{"op":"rotate","angle":1}])", wide).code(), sdk::JobErrorCode::kTooLarge);
  EXPECT_EQ(refused_operations(R"([{"op":"extend","top":1}])", wide).code(), sdk::JobErrorCode::kTooLarge);
}

// What is made of a picture in strips is what is made of it whole: rows of it alone, with enough around them, are the
// same.
TEST(ImageOperations, StripsDoNotShow) {
  const cv::Mat tall = with_alpha_of(gradient(2100, 1600), 200);  // some strips of a million pixels
  cv::Mat picture = tall.clone();
  for (int y = 0; y < picture.rows; y += 7) picture.row(y).setTo(cv::Scalar(255, y % 256, 0, 255));
  const cv::Range some(400, 700);
  const cv::Range inner(60, 240);
  for (const char* op :
       {R"("blur")", R"("blur","sigma":4)", R"("sharpen")", R"("sharpen","sigma":2)", R"("median","size":7)",
        R"("convolve","width":1,"height":5,"kernel":[5,4,3,2,1])", R"("dilate","width":9)", R"("erode")"}) {
    const std::string list = std::string(R"([{"op":)") + op + "}]";
    const cv::Mat whole = applied(list, picture);
    const cv::Mat part = applied(list, picture.rowRange(some).clone());
    EXPECT_EQ(difference(whole.rowRange(some).rowRange(inner), part.rowRange(inner)), 0) << op;
  }
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
  for (const auto& [name, hex] :
       {std::pair("aliceblue", "#f0f8ff"), std::pair("gold", "#ffd700"), std::pair("pink", "#ffc0cb"),
        std::pair("RebeccaPurple", "#663399"), std::pair("gray", "#808080"), std::pair("grey", "#808080"),
        std::pair("green", "#008000"), std::pair("orange", "#ffa500"), std::pair("yellowgreen", "#9acd32")}) {
    EXPECT_EQ(parse_color(name, "f"), parse_color(hex, "f")) << name;
  }
}

TEST(CssColor, OrItsFieldIsNamed) {
  for (const char* text : {"", "#", "#12", "#12345", "#1234567", "#123456789", "#ggg", "123456", "rgb()", "rgb(1,2)",
                           "rgb(1,2,3,4,5)", "rgb(a,b,c)", "rgb(1,2,3", "whitish", "zzz", "hsl(0, 100%, 50%)",
                           "hwb(0 0% 0%)", "rgb(1e2,0,0)", "rgb(%,0,0)"}) {
    const auto error = sdk::error_of([&] { (void)parse_color(text, "outputs[0].background"); });
    EXPECT_EQ(error.field(), "outputs[0].background") << text;
    EXPECT_THAT(error.what(), HasSubstr("outputs[0].background must be #rgb"));
  }
}

}  // namespace
}  // namespace quern::image
