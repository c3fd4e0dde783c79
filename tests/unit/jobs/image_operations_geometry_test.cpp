// extract, extend, trim, rotate, flip, flop.
#include <cmath>

#include "tests/unit/jobs/operations.h"
#include "tests/unit/jobs/pictures.h"
#include "worker/jobs/image/operations/geometry.h"

namespace quern::image {
namespace {

using Rows = std::vector<std::vector<int>>;
using testing::HasSubstr;

TEST(ImageExtract, CutsOutThePart) {
  const cv::Mat picture = greys({{1, 2, 3}, {4, 5, 6}, {7, 8, 9}});
  EXPECT_EQ(reds(applied(R"([{"op":"extract","left":1,"top":0,"width":2,"height":2}])", picture)),
            (Rows{{2, 3}, {5, 6}}));
  EXPECT_EQ(reds(applied(R"([{"op":"extract","left":0,"top":0,"width":3,"height":3}])", picture)), reds(picture));
}

TEST(ImageExtract, OfWhatIsNotThereIsRefused) {
  const auto error = refused_operations(R"([{"op":"extract","left":3,"top":0,"width":2,"height":4}])");
  EXPECT_EQ(error.code(), sdk::JobErrorCode::kInvalidArgument);
  EXPECT_EQ(error.field(), "operations[0]");
  EXPECT_THAT(error.what(), HasSubstr("2 x 4 at 3, 0 does not lie inside of the picture of 4 x 4"));
  EXPECT_EQ(refused_operations(R"([{"op":"extract","left":1000000000,"top":0,"width":1000000000,"height":1}])").field(),
            "operations[0]");
}

TEST(ImageExtend, ShowsWhatItIsAskedToInTheNewPixels) {
  const cv::Mat picture = greys({{1, 2, 3}});
  const auto extended = [&](const char* with) {
    return reds(applied(R"([{"op":"extend","left":4,"right":2,"extend_with":")" + std::string(with) + "\"}]", picture));
  };
  EXPECT_EQ(extended("background"), (Rows{{0, 0, 0, 0, 1, 2, 3, 0, 0}}));
  EXPECT_EQ(extended("copy"), (Rows{{1, 1, 1, 1, 1, 2, 3, 3, 3}}));
  EXPECT_EQ(extended("repeat"), (Rows{{3, 1, 2, 3, 1, 2, 3, 1, 2}}));
  EXPECT_EQ(extended("mirror"), (Rows{{3, 3, 2, 1, 1, 2, 3, 3, 2}}));
}

TEST(ImageExtend, OnEachSideByItself) {
  EXPECT_EQ(reds(applied(R"([{"op":"extend","top":1,"bottom":2,"left":1,"background":"#080808"}])", greys({{1}}))),
            (Rows{{8, 8}, {8, 1}, {8, 8}, {8, 8}}));
}

TEST(ImageExtend, GetsAlphaWhereTheBackgroundNeedsIt) {
  const cv::Mat out = applied(R"([{"op":"extend","left":1,"background":"#0a141e33"}])", greys({{1}}));
  EXPECT_EQ(rgba_at(out, 0, 0), cv::Vec4b(10, 20, 30, 51));
  EXPECT_EQ(rgba_at(out, 1, 0), cv::Vec4b(1, 1, 1, 255));
}

cv::Mat framed(cv::Rect box, cv::Size size = {20, 16}) {
  cv::Mat out(size, CV_8UC3, cv::Scalar(200, 210, 220));
  out(box).setTo(cv::Scalar(10, 20, 30));
  return out;
}

TEST(ImageTrim, FindsTheBoxAroundWhatIsNotBackground) {
  EXPECT_EQ(trim_box(framed({3, 6, 5, 4}), {}), cv::Rect(3, 6, 5, 4));
  EXPECT_EQ(trim_box(framed({3, 6, 5, 4}), {.margin = 2}), cv::Rect(1, 4, 9, 8));
  EXPECT_EQ(trim_box(framed({3, 6, 5, 4}), {.margin = 5}), cv::Rect(0, 1, 13, 14));
  EXPECT_EQ(trim_box(framed({3, 6, 17, 10}), {}), cv::Rect(3, 6, 17, 10));
  EXPECT_EQ(applied(R"([{"op":"trim"}])", framed({3, 6, 5, 4})).size(), cv::Size(5, 4));
}

TEST(ImageTrim, OfABackgroundThatIsNamed) {
  EXPECT_EQ(trim_box(framed({0, 0, 5, 4}), {.background = Color{200, 210, 220}}), cv::Rect(0, 0, 5, 4));
  EXPECT_EQ(trim_box(framed({0, 0, 5, 4}), {}), cv::Rect(0, 0, 20, 16)) << "the top left pixel is the background";
}

TEST(ImageTrim, TakesWhatIsNearForBackground) {
  cv::Mat picture = framed({3, 6, 5, 4});
  picture(cv::Rect(10, 10, 5, 5)).setTo(cv::Scalar(200, 201, 220));
  EXPECT_EQ(trim_box(picture, {}), cv::Rect(3, 6, 5, 4)) << "9 away, and the threshold is 10";
  EXPECT_EQ(trim_box(picture, {.threshold = 8}), cv::Rect(3, 6, 12, 9));
}

TEST(ImageTrim, CountsSinglePixelsOnlyInLineArt) {
  cv::Mat picture = framed({3, 6, 5, 4});
  picture.at<cv::Vec3b>(1, 18) = {0, 0, 0};
  const cv::Mat before = picture.clone();
  EXPECT_EQ(trim_box(picture, {}), cv::Rect(3, 6, 5, 4));
  EXPECT_EQ(difference(picture, before), 0);
  EXPECT_EQ(trim_box(picture, {.line_art = true}), cv::Rect(3, 1, 16, 9));
}

TEST(ImageTrim, LeavesAPictureOfOneColorAsItIs) {
  EXPECT_EQ(trim_box(one_color(7, 5, {1, 2, 3}), {}), cv::Rect(0, 0, 7, 5));
}

TEST(ImageTrim, SeesAlphaAndNotTheColorOfInvisiblePixels) {
  cv::Mat picture(12, 12, CV_8UC4, cv::Scalar(0, 0, 0, 0));
  picture(cv::Rect(0, 6, 12, 6)).setTo(cv::Scalar(250, 250, 250, 0));
  picture(cv::Rect(2, 3, 4, 5)).setTo(cv::Scalar(0, 0, 0, 255));
  EXPECT_EQ(trim_box(picture, {}), cv::Rect(2, 3, 4, 5));
}

TEST(ImageTrim, KeepsToTheBoxOfTheFirstFrame) {
  Applied trim(R"([{"op":"trim"}])");
  EXPECT_EQ(trim.to(framed({3, 6, 5, 4})).size(), cv::Size(5, 4));
  const cv::Mat second = trim.to(framed({6, 8, 9, 7}));
  EXPECT_EQ(second.size(), cv::Size(5, 4));
  EXPECT_EQ(rgb_at(second, 0, 0), cv::Vec3b(200, 210, 220));
  EXPECT_EQ(rgb_at(second, 3, 2), cv::Vec3b(10, 20, 30));
}

TEST(ImageRotate, MovesPixelsAsTheyAreByQuarterTurns) {
  const cv::Mat picture = greys({{1, 2, 3}, {4, 5, 6}});
  const auto turned = [&](const char* angle) {
    return reds(applied(R"([{"op":"rotate","angle":)" + std::string(angle) + "}]", picture));
  };
  EXPECT_EQ(turned("90"), (Rows{{4, 1}, {5, 2}, {6, 3}})) << "clockwise";
  EXPECT_EQ(turned("180"), (Rows{{6, 5, 4}, {3, 2, 1}}));
  EXPECT_EQ(turned("-90"), (Rows{{3, 6}, {2, 5}, {1, 4}}));
  EXPECT_EQ(turned("270"), turned("-90"));
  EXPECT_EQ(turned("720"), reds(picture));
  EXPECT_EQ(turned("-999990"), turned("90"));
}

TEST(ImageRotate, GrowsSoThatTheCornersFit) {
  EXPECT_EQ(rotated_size({100, 50}, 30), cv::Size(112, 93));  // 100 cos 30 + 50 sin 30 = 111.6; 93.3
  EXPECT_EQ(rotated_size({100, 100}, 45), cv::Size(141, 141));
  EXPECT_EQ(rotated_size({1, 1}, 45), cv::Size(1, 1));
  EXPECT_EQ(rotated_size({100, 50}, 450), cv::Size(50, 100));
}

TEST(ImageRotate, FillsTheCornersAndPutsPixelsWhereTheyBelong) {
  cv::Mat picture = one_color(101, 101, {0, 0, 255});
  picture(cv::Rect(75, 45, 11, 11)).setTo(cv::Scalar(255, 255, 0));  // its middle is 30 right of the middle
  const cv::Mat out = applied(R"([{"op":"rotate","angle":30,"background":"#ff0000"}])", picture);
  EXPECT_EQ(out.type(), CV_8UC3);
  EXPECT_EQ(rgb_at(out, 0, 0), cv::Vec3b(255, 0, 0));
  EXPECT_EQ(rgb_at(out, out.cols / 2, out.rows / 2), cv::Vec3b(0, 0, 255));
  // 30 degrees clockwise, y goes down: 26 right, 15 down
  EXPECT_EQ(rgb_at(out, out.cols / 2 + 26, out.rows / 2 + 15), cv::Vec3b(255, 255, 0));
  EXPECT_EQ(rgb_at(out, out.cols / 2 + 26, out.rows / 2 - 15), cv::Vec3b(0, 0, 255));
}

TEST(ImageRotate, OnATransparentBackgroundHasNoDarkEdge) {
  const cv::Mat out =
      applied(R"([{"op":"rotate","angle":20,"background":"transparent"}])", one_color(40, 40, {255, 0, 0}));
  EXPECT_EQ(rgba_at(out, 0, 0)[3], 0);
  EXPECT_TRUE(shows_no_green(out));
  EXPECT_TRUE(shows_no_green(
      applied(R"([{"op":"rotate","angle":20,"background":"transparent"}])", red_beside_invisible_green(40, 40))));
}

TEST(ImageRotate, KeepsThePicturesAlphaAndFillsOnlyItsCorners) {
  cv::Mat picture = one_color_alpha(101, 101, {255, 0, 0, 0});
  picture(cv::Rect(40, 40, 21, 21)).setTo(cv::Scalar(255, 0, 0, 100));
  const cv::Mat out = applied(R"([{"op":"rotate","angle":30,"background":"#00f"}])", picture);
  EXPECT_EQ(rgba_at(out, 0, 0), cv::Vec4b(0, 0, 255, 255));
  EXPECT_EQ(rgba_at(out, out.cols / 2, 30)[3], 0);
  EXPECT_EQ(rgba_at(out, out.cols / 2, out.rows / 2), cv::Vec4b(255, 0, 0, 100));
}

TEST(ImageRotate, KeepsColorsWhereAlphaEnds) {
  const cv::Scalar color(100, 150, 200);
  for (const char* angle : {"20", "45", "133"}) {
    const cv::Mat out = applied(R"([{"op":"rotate","background":"transparent","angle":)" + std::string(angle) + "}]",
                                one_color_of_every_alpha(color));
    EXPECT_LE(farthest_from(color, out), 1) << angle;
  }
}

// Tiles of a large picture meet without a seam: a ramp stays one.
TEST(ImageRotate, ShowsNoTiles) {
  cv::Mat picture(700, 700, CV_8UC3);
  for (int x = 0; x < picture.cols; ++x) picture.col(x).setTo(cv::Scalar::all(x * 255 / picture.cols));
  const cv::Mat out = applied(R"([{"op":"rotate","angle":30}])", picture);
  const int row = out.rows / 2;
  for (int x = 200; x < out.cols - 200; ++x) {
    EXPECT_NEAR(rgb_at(out, x, row)[0], (349.5 + (x - (out.cols - 1) / 2.0) * std::cos(CV_PI / 6)) * 255 / 700, 1.5)
        << x;
  }
}

TEST(ImageFlip, TurnsUpsideDownAndFlopLeftToRight) {
  const cv::Mat picture = greys({{1, 2, 3}, {4, 5, 6}});
  EXPECT_EQ(reds(applied(R"([{"op":"flip"}])", picture)), (Rows{{4, 5, 6}, {1, 2, 3}}));
  EXPECT_EQ(reds(applied(R"([{"op":"flop"}])", picture)), (Rows{{3, 2, 1}, {6, 5, 4}}));
}

}  // namespace
}  // namespace quern::image
