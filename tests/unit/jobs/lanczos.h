// The resampler that others are measured against: Lanczos with three lobes, widened by the reduction, in double
// precision and without any shortcut. Slow on purpose.
#pragma once

#include <opencv2/core/mat.hpp>

namespace quern::image {

// RGB or RGBA (premultiplied while it is resampled) to `to`, covering it, the middle kept; as fit `cover` does.
[[nodiscard]] cv::Mat reference_cover(const cv::Mat& picture, cv::Size to);

}  // namespace quern::image
