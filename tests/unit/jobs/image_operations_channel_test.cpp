// flatten, unflatten, ensure_alpha, remove_alpha, extract_channel, bandbool, boolean.
#include "tests/unit/jobs/operations.h"
#include "tests/unit/jobs/pictures.h"

namespace quern::image {
namespace {

using testing::HasSubstr;

cv::Mat pixel(int r, int g, int b, int a) { return one_color_alpha(1, 1, cv::Scalar(r, g, b, a)); }

TEST(ImageFlatten, LaysThePictureOnAColor) {
  const cv::Mat out = applied(R"([{"op":"flatten","background":"#0000ff"}])", pixel(255, 0, 0, 102));
  EXPECT_EQ(out.type(), CV_8UC3);
  EXPECT_EQ(rgb_at(out, 0, 0), cv::Vec3b(102, 0, 153));
  EXPECT_EQ(rgb_at(applied(R"([{"op":"flatten"}])", pixel(200, 100, 50, 0)), 0, 0), cv::Vec3b(0, 0, 0));
  EXPECT_EQ(rgb_at(applied(R"([{"op":"flatten","background":"white"}])", one_color(1, 1, {1, 2, 3})), 0, 0),
            cv::Vec3b(1, 2, 3));
}

TEST(ImageFlatten, OnAColorThatIsNotOpaqueKeepsAlpha) {
  const cv::Mat out = applied(R"([{"op":"flatten","background":"#0000ff33"}])", pixel(255, 0, 0, 0));
  EXPECT_EQ(rgba_at(out, 0, 0), cv::Vec4b(0, 0, 255, 51));
}

TEST(ImageUnflatten, MakesOnlyWhiteTransparent) {
  EXPECT_EQ(rgba_at(applied(R"([{"op":"unflatten"}])", one_color(1, 1, {255, 255, 255})), 0, 0)[3], 0);
  EXPECT_EQ(rgba_at(applied(R"([{"op":"unflatten"}])", one_color(1, 1, {255, 255, 254})), 0, 0),
            cv::Vec4b(255, 255, 254, 255));
  EXPECT_EQ(rgba_at(applied(R"([{"op":"unflatten"}])", pixel(1, 2, 3, 99)), 0, 0), cv::Vec4b(1, 2, 3, 99));
}

TEST(ImageAlpha, ComesAndGoes) {
  EXPECT_EQ(rgba_at(applied(R"([{"op":"ensure_alpha"}])", one_color(1, 1, {1, 2, 3})), 0, 0), cv::Vec4b(1, 2, 3, 255));
  EXPECT_EQ(rgba_at(applied(R"([{"op":"ensure_alpha","alpha":0.5}])", one_color(1, 1, {1, 2, 3})), 0, 0),
            cv::Vec4b(1, 2, 3, 128));
  EXPECT_EQ(rgba_at(applied(R"([{"op":"ensure_alpha","alpha":0}])", pixel(1, 2, 3, 7)), 0, 0), cv::Vec4b(1, 2, 3, 7));
  const cv::Mat out = applied(R"([{"op":"remove_alpha"}])", pixel(1, 2, 3, 0));
  EXPECT_EQ(out.type(), CV_8UC3);
  EXPECT_EQ(rgb_at(out, 0, 0), cv::Vec3b(1, 2, 3));
}

TEST(ImageChannel, IsExtractedAsGrey) {
  const auto channel = [](const char* name, const cv::Mat& picture) {
    const cv::Mat out = applied(R"([{"op":"extract_channel","channel":")" + std::string(name) + "\"}]", picture);
    EXPECT_EQ(out.type(), CV_8UC3);
    return rgb_at(out, 0, 0);
  };
  EXPECT_EQ(channel("red", pixel(1, 2, 3, 4)), cv::Vec3b(1, 1, 1));
  EXPECT_EQ(channel("blue", pixel(1, 2, 3, 4)), cv::Vec3b(3, 3, 3));
  EXPECT_EQ(channel("alpha", pixel(1, 2, 3, 4)), cv::Vec3b(4, 4, 4));
  EXPECT_EQ(channel("alpha", one_color(1, 1, {1, 2, 3})), cv::Vec3b(255, 255, 255));
}

TEST(ImageBandbool, CombinesTheColors) {
  const cv::Mat picture = one_color(1, 1, {0b1100, 0b1010, 0b1001});
  EXPECT_EQ(rgb_at(applied(R"([{"op":"bandbool","operator":"and"}])", picture), 0, 0), cv::Vec3b::all(0b1000));
  EXPECT_EQ(rgb_at(applied(R"([{"op":"bandbool","operator":"or"}])", picture), 0, 0), cv::Vec3b::all(0b1111));
  EXPECT_EQ(rgb_at(applied(R"([{"op":"bandbool","operator":"eor"}])", picture), 0, 0), cv::Vec3b::all(0b1111));
  EXPECT_EQ(rgba_at(applied(R"([{"op":"bandbool","operator":"and"}])", pixel(7, 3, 1, 90)), 0, 0),
            cv::Vec4b(1, 1, 1, 90));
}

TEST(ImageBoolean, CombinesTwoPictures) {
  const cv::Mat a = one_color(1, 1, {0b1100, 0, 255});
  const cv::Mat b = one_color(1, 1, {0b1010, 7, 255});
  EXPECT_EQ(rgb_at(applied(R"([{"op":"boolean","operator":"and"}])", a, {b}), 0, 0), cv::Vec3b(0b1000, 0, 255));
  EXPECT_EQ(rgb_at(applied(R"([{"op":"boolean","operator":"or"}])", a, {b}), 0, 0), cv::Vec3b(0b1110, 7, 255));
  EXPECT_EQ(rgb_at(applied(R"([{"op":"boolean","operator":"eor","input":2}])", a, {{}, b}), 0, 0),
            cv::Vec3b(0b0110, 7, 0));
}

TEST(ImageBoolean, NamesTheSizesThatDiffer) {
  const auto error = sdk::error_of(
      [] { (void)applied(R"([{"op":"boolean","operator":"and"}])", one_color(3, 4, {}), {one_color(5, 6, {})}); });
  EXPECT_EQ(error.field(), "operations[0].input");
  EXPECT_THAT(error.what(), HasSubstr("5 x 6 pixels, and this one 3 x 4"));
}

}  // namespace
}  // namespace quern::image
