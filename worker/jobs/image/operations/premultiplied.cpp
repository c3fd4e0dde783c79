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

cv::Mat premultiplied_floats(const cv::Mat& straight) {
  cv::Mat out;
  if (straight.channels() == 3) {
    straight.convertTo(out, CV_32F);
    return out;
  }
  out.create(straight.size(), CV_32FC4);
  for (int y = 0; y < straight.rows; ++y) {
    const auto* from = straight.ptr<cv::Vec4b>(y);
    auto* to = out.ptr<cv::Vec4f>(y);
    for (int x = 0; x < straight.cols; ++x) {
      const auto alpha = static_cast<float>(from[x][3]);
      for (int c = 0; c < 3; ++c) to[x][c] = static_cast<float>(from[x][c]) * alpha / 255;
      to[x][3] = alpha;
    }
  }
  return out;
}

cv::Mat straight_of_floats(const cv::Mat& premultiplied, float offset) {
  cv::Mat out;
  if (premultiplied.channels() == 3) {
    premultiplied.convertTo(out, CV_8U, 1, static_cast<double>(offset));
    return out;
  }
  out.create(premultiplied.size(), CV_8UC4);
  for (int y = 0; y < premultiplied.rows; ++y) {
    const auto* from = premultiplied.ptr<cv::Vec4f>(y);
    auto* to = out.ptr<cv::Vec4b>(y);
    for (int x = 0; x < premultiplied.cols; ++x) {
      const float alpha = from[x][3];
      if (alpha < 0.5F) {
        to[x] = {};
        continue;
      }
      for (int c = 0; c < 3; ++c) {
        to[x][c] = static_cast<std::uint8_t>(cvRound(std::clamp(from[x][c] * 255 / alpha + offset, 0.0F, 255.0F)));
      }
      to[x][3] = static_cast<std::uint8_t>(cvRound(std::min(alpha, 255.0F)));
    }
  }
  return out;
}

}  // namespace quern::image
