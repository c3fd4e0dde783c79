#include "worker/jobs/image/operations/channel.h"

#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>

namespace quern::image {
namespace {

// Red, green and blue alike.
cv::Mat grey_of(const cv::Mat& channel) {
  cv::Mat out;
  cv::cvtColor(channel, out, cv::COLOR_GRAY2RGB);
  return out;
}

cv::Mat channel_of(const cv::Mat& picture, int channel) {
  cv::Mat out;
  cv::extractChannel(picture, out, channel);
  return out;
}

void combine(const cv::Mat& a, const cv::Mat& b, cv::Mat& out, BitOperator with) {
  switch (with) {
    case BitOperator::kAnd: return cv::bitwise_and(a, b, out);
    case BitOperator::kOr: return cv::bitwise_or(a, b, out);
    case BitOperator::kXor: return cv::bitwise_xor(a, b, out);
  }
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

cv::Mat over_background(const cv::Mat& picture, Color background) {
  if (picture.channels() != 4) return picture;
  const std::array<int, 3> under{background.r, background.g, background.b};
  cv::Mat out(picture.size(), CV_8UC4);
  for (int y = 0; y < picture.rows; ++y) {
    const auto* from = picture.ptr<cv::Vec4b>(y);
    auto* to = out.ptr<cv::Vec4b>(y);
    for (int x = 0; x < picture.cols; ++x) {
      const int share = from[x][3] * 255;                  // of 255 squared
      const int rest = (255 - from[x][3]) * background.a;  // what shows of the background
      const int sum = share + rest;
      for (std::size_t c = 0; c < 3; ++c) {
        const int i = static_cast<int>(c);
        to[x][i] = sum == 0 ? std::uint8_t{0}
                            : static_cast<std::uint8_t>((from[x][i] * share + under[c] * rest + sum / 2) / sum);
      }
      to[x][3] = static_cast<std::uint8_t>((sum + 127) / 255);
    }
  }
  return background.a == 255 ? remove_alpha(out) : out;
}

cv::Mat unflatten(const cv::Mat& picture) {
  cv::Mat out = picture.channels() == 4 ? picture.clone() : ensure_alpha(picture, 255);
  for (int y = 0; y < out.rows; ++y) {
    auto* row = out.ptr<cv::Vec4b>(y);
    for (int x = 0; x < out.cols; ++x) {
      if (row[x][0] == 255 && row[x][1] == 255 && row[x][2] == 255) row[x][3] = 0;
    }
  }
  return out;
}

cv::Mat extract_channel(const cv::Mat& picture, int channel) {
  if (channel < picture.channels()) return grey_of(channel_of(picture, channel));
  return {picture.size(), CV_8UC3, cv::Scalar::all(255)};
}

cv::Mat combine_channels(const cv::Mat& picture, BitOperator with) {
  cv::Mat combined = channel_of(picture, 0);
  combine(combined, channel_of(picture, 1), combined, with);
  combine(combined, channel_of(picture, 2), combined, with);
  cv::Mat grey = grey_of(combined);
  if (picture.channels() != 4) return grey;
  cv::Mat out = ensure_alpha(grey, 255);
  cv::insertChannel(channel_of(picture, 3), out, 3);
  return out;
}

cv::Mat combine_pictures(const cv::Mat& picture, const cv::Mat& other, BitOperator with) {
  const bool alpha = picture.channels() == 4 || other.channels() == 4;
  cv::Mat out;
  combine(alpha ? ensure_alpha(picture, 255) : picture, alpha ? ensure_alpha(other, 255) : other, out, with);
  return out;
}

}  // namespace quern::image
