// Pixels: from a decoded picture to one of the planned size.
//
// Reducing averages areas, enlarging is bicubic; alpha is premultiplied meanwhile, in 16 bits, so that no
// colour leaks out of transparent pixels.
#pragma once

#include <cstdint>
#include <opencv2/core/mat.hpp>

#include "worker/jobs/image/picture.h"
#include "worker/jobs/image/plan.h"

namespace quern::image {

// Scales to plan.scaled and cuts to plan.canvas what stands over it; pad() does the rest. Throws
// sdk::JobError(kTooLarge) for shapes so extreme that what lies between would not fit in memory.
[[nodiscard]] cv::Mat scale_and_cut(const cv::Mat& picture, const Plan& plan);

// Turns a picture stored with EXIF orientation `orientation` upright.
[[nodiscard]] cv::Mat upright(const cv::Mat& picture, int orientation);

// Centres the picture on a canvas of at least its size. It gets an alpha channel when the background
// needs one.
[[nodiscard]] cv::Mat pad(const cv::Mat& picture, Size canvas, Color background);

// Without its alpha channel, if that is opaque everywhere.
[[nodiscard]] cv::Mat without_opaque_alpha(const cv::Mat& picture);

// Over a background, for formats without alpha.
[[nodiscard]] cv::Mat flatten(const cv::Mat& picture, Color background);

}  // namespace quern::image
