#include "worker/jobs/image/yuv.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>

#include "worker/jobs/image/pixel_rows.h"

namespace quern::image {
namespace {

// Studio range in 8 bits (BT.601): luma 219 steps from 16, chroma 224 around 128.
constexpr double kLumaSteps = 219;
constexpr double kChromaSteps = 224;

void look_up(cv::Mat& plane, double steps_from, double steps_to, double zero_from, double zero_to) {
  cv::Mat table(1, 256, CV_8UC1);
  for (int i = 0; i < 256; ++i) {
    table.at<std::uint8_t>(i) = cv::saturate_cast<std::uint8_t>((i - zero_from) * steps_to / steps_from + zero_to);
  }
  cv::LUT(plane, table, plane);
}

}  // namespace

void chroma_to_limited(cv::Mat& plane) { look_up(plane, 255, kChromaSteps, 128, 128); }

void expand_range(YuvPicture& picture) {
  look_up(picture.planes[0], kLumaSteps, 255, 16, 0);
  for (const std::size_t i : {1U, 2U}) look_up(picture.planes[i], kChromaSteps, 255, 128, 128);
  picture.range = YuvPicture::Range::kFull;
}

cv::Mat rgb_of_wide_planes(const std::array<cv::Mat, 3>& planes, YuvPicture::Range range) {
  const bool limited = range == YuvPicture::Range::kLimited;
  const YuvToRgb conversion{.luma_scale = static_cast<float>(limited ? 255 / kLumaSteps : 1.0) / 257,
                            .luma_zero = limited ? 16.0F * 257 : 0.0F,
                            .chroma_scale = static_cast<float>(limited ? 255 / kChromaSteps : 1.0) / 257,
                            .chroma_zero = 128.0F * 257};
  cv::Mat out(planes[0].size(), CV_8UC3);
  for (int y = 0; y < out.rows; ++y) {
    wide_yuv_to_rgb(planes[0].ptr<std::uint16_t>(y), planes[1].ptr<std::uint16_t>(y), planes[2].ptr<std::uint16_t>(y),
                    conversion, out.ptr(y), out.cols);
  }
  return out;
}

cv::Mat to_rgb(const Picture& picture) {
  if (const auto* rgb = std::get_if<cv::Mat>(&picture)) return *rgb;
  const auto& yuv = std::get<YuvPicture>(picture);
  std::array<cv::Mat, 3> wide;
  for (std::size_t i = 0; i < wide.size(); ++i) {
    cv::Mat plane = yuv.planes[i];
    const cv::Size covered(plane.cols << (i == 0 ? 0 : yuv.shift_x), plane.rows << (i == 0 ? 0 : yuv.shift_y));
    if (covered != plane.size()) {
      cv::Mat enlarged;
      cv::resize(plane, enlarged, covered, 0, 0, cv::INTER_LINEAR);
      plane = enlarged(cv::Rect({0, 0}, yuv.size()));
    }
    plane.convertTo(wide[i], CV_16U, 257);
  }
  const cv::Mat rgb = rgb_of_wide_planes(wide, yuv.range);
  if (yuv.alpha.empty()) return rgb;
  cv::Mat out(rgb.size(), CV_8UC4);
  cv::mixChannels(std::array{rgb, yuv.alpha}.data(), 2, &out, 1, std::array{0, 0, 1, 1, 2, 2, 3, 3}.data(), 4);
  return out;
}

}  // namespace quern::image
