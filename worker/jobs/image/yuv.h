// Between luma and chroma and RGB: ITU-R BT.601's matrix, as JFIF and WebP have it.
#pragma once

#include <array>

#include "worker/jobs/image/picture.h"

namespace quern::image {

// CV_8UC3, or CV_8UC4 where the picture has alpha. What is RGB already is handed on, not copied. Chroma is enlarged
// linearly.
[[nodiscard]] cv::Mat to_rgb(const Picture& picture);

// From 16-bit planes of one size (8-bit values times 257), to 8-bit RGB, rounded once.
[[nodiscard]] cv::Mat rgb_of_wide_planes(const std::array<cv::Mat, 3>& planes, YuvPicture::Range range);

// A plane of chroma from 0..255 to 16..240, around 128.
void chroma_to_limited(cv::Mat& plane);
// All planes from studio range to full.
void expand_range(YuvPicture& picture);

}  // namespace quern::image
