// The resampler that others are measured against: a kernel as it is defined (Lanczos with three lobes unless another is
// named), widened by the reduction, in double precision and without any shortcut. Slow on purpose.
#pragma once

#include <opencv2/core/mat.hpp>

#include "worker/jobs/image/zimg_graph.h"

namespace quern::image {

// RGB or RGBA (premultiplied while it is resampled) to `to`, covering it, the middle kept; as fit `cover` does.
// `kernel`: not kNearest, which weighs nothing.
[[nodiscard]] cv::Mat reference_cover(const cv::Mat& picture, cv::Size to, Kernel kernel = Kernel::kLanczos3);

}  // namespace quern::image
