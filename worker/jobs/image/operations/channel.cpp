#include "worker/jobs/image/operations/channel.h"

#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>

#include "worker/jobs/image/alpha.h"

namespace quern::image {
namespace {

// Red, green and blue alike.
cv::Mat grey_of(const cv::Mat& channel) {
  cv::Mat out;
  cv::cvtColor(channel, out, cv::COLOR_GRAY2RGB);
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

cv::Mat unflatten(const cv::Mat& picture) {
  cv::Mat out = picture.channels() == 4 ? picture.clone() : ensure_alpha(picture);
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
  cv::Mat out = ensure_alpha(grey);
  cv::insertChannel(channel_of(picture, 3), out, 3);
  return out;
}

cv::Mat combine_pictures(const cv::Mat& picture, const cv::Mat& other, BitOperator with) {
  const bool alpha = picture.channels() == 4 || other.channels() == 4;
  cv::Mat out;
  combine(alpha ? ensure_alpha(picture) : picture, alpha ? ensure_alpha(other) : other, out, with);
  return out;
}

}  // namespace quern::image
