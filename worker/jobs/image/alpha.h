// A picture's alpha channel: whether it is needed, and how to be rid of it.
#pragma once

#include "worker/jobs/image/picture.h"

namespace quern::image {

// Without its alpha channel, if that is opaque everywhere.
[[nodiscard]] cv::Mat without_opaque_alpha(const cv::Mat& picture);

// Whether every pixel, RGB or RGBA, is some grey.
[[nodiscard]] bool is_grey(const cv::Mat& picture);

// Over a background, for formats without alpha. The background's own alpha does not count.
[[nodiscard]] cv::Mat flatten(const cv::Mat& picture, Color background);

}  // namespace quern::image
