#include "worker/jobs/image/operations/premultiplied.h"

#include <algorithm>
#include <cstdint>
#include <opencv2/core.hpp>

namespace quern::image {

cv::Mat premultiplied(const cv::Mat& straight) {
  cv::Mat out(straight.size(), CV_16UC4);
  for (int y = 0; y < straight.rows; ++y) {
    const auto* from = straight.ptr<cv::Vec4b>(y);
    auto* to = out.ptr<cv::Vec4w>(y);
    for (int x = 0; x < straight.cols; ++x) {
      const std::uint32_t alpha = from[x][3];
      for (int c = 0; c < 3; ++c) to[x][c] = static_cast<std::uint16_t>((from[x][c] * alpha * 257 + 127) / 255);
      to[x][3] = static_cast<std::uint16_t>(alpha * 257);
    }
  }
  return out;
}

cv::Mat straight(const cv::Mat& premultiplied) {
  cv::Mat out(premultiplied.size(), CV_8UC4);
  for (int y = 0; y < premultiplied.rows; ++y) {
    const auto* from = premultiplied.ptr<cv::Vec4w>(y);
    auto* to = out.ptr<cv::Vec4b>(y);
    for (int x = 0; x < premultiplied.cols; ++x) {
      const std::uint32_t alpha = from[x][3];
      for (int c = 0; c < 3; ++c) {
        const std::uint32_t color = alpha == 0 ? 0 : (from[x][c] * 255U + alpha / 2) / alpha;
        to[x][c] = static_cast<std::uint8_t>(std::min(color, 255U));
      }
      to[x][3] = static_cast<std::uint8_t>((alpha + 128) / 257);
    }
  }
  return out;
}

}  // namespace quern::image
