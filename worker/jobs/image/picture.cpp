#include "worker/jobs/image/picture.h"

#include <array>
#include <cstddef>
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>

namespace quern::image {

cv::Size size_of(const Picture& picture) {
  if (const auto* yuv = std::get_if<YuvPicture>(&picture)) return yuv->size();
  return std::get<cv::Mat>(picture).size();
}

bool has_alpha(const Picture& picture) {
  if (const auto* yuv = std::get_if<YuvPicture>(&picture)) return !yuv->alpha.empty();
  return std::get<cv::Mat>(picture).channels() == 4;
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

cv::Mat make_plane(cv::Size size, int type) {
  constexpr int kAlignment = 64;  // bytes; cv::Mat's own memory begins so, too
  const int unit = static_cast<int>(CV_ELEM_SIZE(type));
  const int pixels = kAlignment / unit;
  cv::Mat padded(size.height, (size.width + pixels - 1) / pixels * pixels, type);
  return padded.colRange(0, size.width);
}

}  // namespace quern::image
