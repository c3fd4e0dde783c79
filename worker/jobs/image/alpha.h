// A picture's alpha channel: to have one, to be rid of it, to lay what is transparent on a colour.
#pragma once

#include <cstdint>
#include <opencv2/core/mat.hpp>

#include "worker/jobs/image/picture.h"

namespace quern::image {

// The picture as it is if it has alpha, or else with this one everywhere.
[[nodiscard]] cv::Mat ensure_alpha(const cv::Mat& picture, std::uint8_t alpha = 255);
// Shows what alpha hid.
[[nodiscard]] cv::Mat remove_alpha(const cv::Mat& picture);
// Without its alpha channel, if that is opaque everywhere.
[[nodiscard]] cv::Mat without_opaque_alpha(const cv::Mat& picture);

// On a background of one colour. The result has alpha where the background is not opaque.
[[nodiscard]] cv::Mat flatten(const cv::Mat& picture, Color background);

// One of its channels, CV_8UC1: 0 to 3 are red, green, blue, alpha. The picture has it.
[[nodiscard]] cv::Mat channel_of(const cv::Mat& picture, int channel);

}  // namespace quern::image
