#include "worker/jobs/image/alpha.h"

#include <algorithm>
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>

namespace quern::image {
namespace {

cv::Mat on_opaque(const cv::Mat& picture, cv::Vec3i under) {
  cv::Mat out(picture.size(), CV_8UC3);
  for (int y = 0; y < picture.rows; ++y) {
    const auto* from = picture.ptr<cv::Vec4b>(y);
    auto* to = out.ptr<cv::Vec3b>(y);
    for (int x = 0; x < picture.cols; ++x) {
      const int alpha = from[x][3];
      for (int c = 0; c < 3; ++c) {
        to[x][c] = static_cast<std::uint8_t>((from[x][c] * alpha + under[c] * (255 - alpha) + 127) / 255);
      }
    }
  }
  return out;
}

cv::Mat on_translucent(const cv::Mat& picture, cv::Vec3i under, int under_alpha) {
  cv::Mat out(picture.size(), CV_8UC4);
  for (int y = 0; y < picture.rows; ++y) {
    const auto* from = picture.ptr<cv::Vec4b>(y);
    auto* to = out.ptr<cv::Vec4b>(y);
    for (int x = 0; x < picture.cols; ++x) {
      const int share = from[x][3] * 255;                 // of 255 squared
      const int rest = (255 - from[x][3]) * under_alpha;  // what shows of the background
      const int sum = share + rest;
      for (int c = 0; c < 3; ++c) {
        to[x][c] = sum == 0 ? std::uint8_t{0}
                            : static_cast<std::uint8_t>((from[x][c] * share + under[c] * rest + sum / 2) / sum);
      }
      to[x][3] = static_cast<std::uint8_t>((sum + 127) / 255);
    }
  }
  return out;
}

}  // namespace

cv::Mat ensure_alpha(const cv::Mat& picture, std::uint8_t alpha) {
  if (picture.channels() == 4) return picture;
  cv::Mat out;
  cv::cvtColor(picture, out, cv::COLOR_RGB2RGBA);
  if (alpha != 255) cv::insertChannel(cv::Mat(picture.size(), CV_8UC1, cv::Scalar(alpha)), out, 3);
  return out;
}

cv::Mat remove_alpha(const cv::Mat& picture) {
  if (picture.channels() != 4) return picture;
  cv::Mat out;
  cv::cvtColor(picture, out, cv::COLOR_RGBA2RGB);
  return out;
}

cv::Mat without_opaque_alpha(const cv::Mat& picture) {
  if (picture.channels() != 4) return picture;
  for (int y = 0; y < picture.rows; ++y) {
    const auto* row = picture.ptr<cv::Vec4b>(y);
    if (!std::all_of(row, row + picture.cols, [](const cv::Vec4b& pixel) { return pixel[3] == 255; })) return picture;
  }
  return remove_alpha(picture);
}

cv::Mat flatten(const cv::Mat& picture, Color background) {
  if (picture.channels() != 4) return picture;
  const cv::Vec3i under(background.r, background.g, background.b);
  return background.a == 255 ? on_opaque(picture, under) : on_translucent(picture, under, background.a);
}

cv::Mat channel_of(const cv::Mat& picture, int channel) {
  cv::Mat out;
  cv::extractChannel(picture, out, channel);
  return out;
}

}  // namespace quern::image
