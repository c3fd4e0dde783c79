// Kernels by their names: each is what its definition says, and none is another one.
#include <gmock/gmock.h>

#include <cmath>
#include <numbers>
#include <string>

#include "tests/unit/jobs/lanczos.h"
#include "tests/unit/jobs/pictures.h"
#include "worker/jobs/image/compare.h"

namespace quern::image {
namespace {

using sdk::FakeJob;

struct NamedKernel {
  const char* word;
  Kernel kernel;
};
constexpr NamedKernel kWeighing[] = {{"linear", Kernel::kLinear},
                                     {"cubic", Kernel::kCubic},
                                     {"mitchell", Kernel::kMitchell},
                                     {"lanczos2", Kernel::kLanczos2},
                                     {"lanczos3", Kernel::kLanczos3}};

// Rings that get finer outwards; away from black and white, where what a kernel overshoots would be cut off.
cv::Mat rings() {
  cv::Mat chart(301, 401, CV_8UC3);
  for (int y = 0; y < chart.rows; ++y) {
    for (int x = 0; x < chart.cols; ++x) {
      const double r2 = (x - 199.5) * (x - 199.5) + (y - 149.5) * (y - 149.5);
      const double value = 127.5 + 70 * std::cos(r2 * std::numbers::pi / 380);
      chart.at<cv::Vec3b>(y, x) = cv::Vec3b::all(cv::saturate_cast<std::uint8_t>(value));
    }
  }
  return chart;
}

cv::Mat resized(const cv::Mat& picture, cv::Size to, const std::string& more) {
  FakeJob job(sdk::find_kind("image.resize"), R"({"width":)" + std::to_string(to.width) + R"(,"height":)" +
                                                  std::to_string(to.height) + R"(,"format":"png")" + more + "}");
  job.add_input(file_of(picture, Format::kPng)).run();
  return picture_of(job.bytes());
}

cv::Mat resized_by(const char* kernel, const cv::Mat& picture, cv::Size to) {
  return resized(picture, to, R"(,"kernel":")" + std::string(kernel) + "\"");
}

double psnr(const cv::Mat& a, const cv::Mat& b) {
  const sdk::Kind nothing{};
  const FakeJob job(nothing);
  return psnr_of(compare(a, b, job).mse).value_or(99);
}

// Catmull and Rom's cubic and the Lanczos of two lobes are nearest to each other, and still 50 to 54 dB apart.
TEST(Kernel, EachIsItsDefinitionAndNoOther) {
  const cv::Mat picture = rings();
  for (const cv::Size to : {cv::Size(137, 101), cv::Size(800, 600)}) {
    for (const NamedKernel& each : kWeighing) {
      const cv::Mat made = resized_by(each.word, picture, to);
      const double likeness = psnr(made, reference_cover(picture, to, each.kernel));
      EXPECT_GT(likeness, 50) << each.word << to;
      for (const NamedKernel& other : kWeighing) {
        if (other.kernel == each.kernel) continue;
        EXPECT_LT(psnr(made, reference_cover(picture, to, other.kernel)), likeness - 5) << each.word << other.word;
      }
    }
  }
}

TEST(Kernel, NearestTakesThePixelThatLiesThere) {
  const cv::Mat picture = rings();
  const cv::Mat large = resized_by("nearest", picture, picture.size() * 3);
  ASSERT_EQ(large.size(), picture.size() * 3);
  for (int y = 0; y < large.rows; ++y) {
    for (int x = 0; x < large.cols; ++x) {
      ASSERT_EQ(large.at<cv::Vec3b>(y, x), picture.at<cv::Vec3b>(y / 3, x / 3)) << x << ' ' << y;
    }
  }
  EXPECT_EQ(difference(resized_by("nearest", large, picture.size()), picture), 0) << "the middle one of three";
}

TEST(Kernel, OfWhoNamesNoneIsLanczos3) {
  const cv::Mat picture = rings();
  EXPECT_EQ(difference(resized(picture, {137, 101}, ""), resized_by("lanczos3", picture, {137, 101})), 0);
}

}  // namespace
}  // namespace quern::image
