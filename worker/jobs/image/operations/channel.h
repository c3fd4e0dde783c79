// Operations on whole channels: white made transparent, one channel made the picture, bits combined.
#pragma once

#include <opencv2/core/mat.hpp>

namespace quern::image {

// White becomes transparent; everything else stays.
[[nodiscard]] cv::Mat unflatten(const cv::Mat& picture);

// 0 to 3: red, green, blue, alpha (all 255 where there is none). The result is grey.
[[nodiscard]] cv::Mat extract_channel(const cv::Mat& picture, int channel);

enum class BitOperator { kAnd, kOr, kXor };
// Red, green and blue combined to a grey; alpha stays.
[[nodiscard]] cv::Mat combine_channels(const cv::Mat& picture, BitOperator with);
// Each channel with the other picture's. Both have one size.
[[nodiscard]] cv::Mat combine_pictures(const cv::Mat& picture, const cv::Mat& other, BitOperator with);

}  // namespace quern::image
