// What choosing few colours for a picture is told, by PNG and GIF alike: how many, how mixed, how hard to search.
#include <gmock/gmock.h>

#include <opencv2/imgproc.hpp>
#include <set>
#include <string>
#include <tuple>

#include "tests/unit/jobs/pictures.h"

namespace quern::image {
namespace {

using sdk::FakeJob;

// Soft, with more colours than any palette has.
cv::Mat photo() {
  cv::Mat picture(128, 128, CV_8UC3);
  cv::theRNG().state = 7;
  cv::randu(picture, 0, 256);
  cv::blur(picture, picture, {5, 5});
  return picture;
}

class Palette : public testing::TestWithParam<const char*> {
 protected:
  static File made(const cv::Mat& picture, const std::string& options) {
    FakeJob job(sdk::find_kind("image.process"), R"({"format":")" + std::string(GetParam()) + "\"," + options + "}");
    job.add_input(file_of(picture, Format::kPng)).run();
    return {job.bytes().begin(), job.bytes().end()};
  }
  static double error_of(const File& file, const cv::Mat& picture) {
    return cv::norm(picture_of(file), picture, cv::NORM_L2);
  }
};
INSTANTIATE_TEST_SUITE_P(Formats, Palette, testing::Values("png", "gif"));

TEST_P(Palette, HasAsManyColoursAsAskedAndNoMore) {
  const cv::Mat picture = photo();
  double error = 1e9;
  for (const int colors : {2, 5, 16, 100, 200}) {
    const File file = made(picture, R"("colors":)" + std::to_string(colors));
    std::set<std::tuple<int, int, int>> seen;
    for (const auto& pixel : cv::Mat_<cv::Vec3b>(picture_of(file))) seen.emplace(pixel[0], pixel[1], pixel[2]);
    EXPECT_LE(seen.size(), static_cast<std::size_t>(colors));
    EXPECT_GE(seen.size(), static_cast<std::size_t>(colors) * 9 / 10);
    EXPECT_LT(error_of(file, picture), error) << colors;
    error = error_of(file, picture);
  }
}

// Flat stripes compress to next to nothing; grain does not.
TEST_P(Palette, IsTheMoreMixedTheMoreItIsDithered) {
  const cv::Mat picture = gradient(200, 200);
  const auto bytes = [&](const char* dither) {
    return made(picture, R"("colors":16,"dither":)" + std::string(dither)).size();
  };
  EXPECT_LT(bytes("0") * 2, bytes("0.5"));
  EXPECT_LT(bytes("0.5"), bytes("1"));
  EXPECT_EQ(made(picture, R"("colors":16)"), made(picture, R"("colors":16,"dither":1)")) << "when nobody says";
}

TEST_P(Palette, IsTheBetterTheLongerItIsSearched) {
  const cv::Mat picture = photo();
  const auto error = [&](const char* effort) {
    return error_of(made(picture, R"("colors":16,"dither":0,"effort":)" + std::string(effort)), picture);
  };
  EXPECT_LT(error("10"), error("1") * 0.97);
  EXPECT_EQ(made(picture, R"("colors":16)"), made(picture, R"("colors":16,"effort":7)")) << "when nobody says";
}

}  // namespace
}  // namespace quern::image
