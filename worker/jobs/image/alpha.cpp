#include "worker/jobs/image/alpha.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>

namespace quern::image {

cv::Mat without_opaque_alpha(const cv::Mat& picture) {
  if (picture.channels() != 4) return picture;
  for (int y = 0; y < picture.rows; ++y) {
    const auto* row = picture.ptr<cv::Vec4b>(y);
    if (!std::all_of(row, row + picture.cols, [](const cv::Vec4b& pixel) { return pixel[3] == 255; })) return picture;
  }
  cv::Mat solid;
  cv::cvtColor(picture, solid, cv::COLOR_RGBA2RGB);
  return solid;
}

bool is_grey(const cv::Mat& picture) {
  const int channels = picture.channels();
  for (int y = 0; y < picture.rows; ++y) {
    const std::uint8_t* row = picture.ptr(y);
    for (int x = 0; x < picture.cols; ++x, row += channels) {
      if (row[0] != row[1] || row[1] != row[2]) return false;
    }
  }
  return true;
}

cv::Mat flatten(const cv::Mat& picture, Color background) {
  if (picture.channels() != 4) return picture;
  cv::Mat out(picture.rows, picture.cols, CV_8UC3);
  const std::array<int, 3> under{background.r, background.g, background.b};
  for (int y = 0; y < picture.rows; ++y) {
    const auto* from = picture.ptr<cv::Vec4b>(y);
    auto* to = out.ptr<cv::Vec3b>(y);
    for (int x = 0; x < picture.cols; ++x) {
      const int alpha = from[x][3];
      for (std::size_t c = 0; c < 3; ++c) {
        const int i = static_cast<int>(c);
        to[x][i] = static_cast<std::uint8_t>((from[x][i] * alpha + under[c] * (255 - alpha) + 127) / 255);
      }
    }
  }
  return out;
}

}  // namespace quern::image
