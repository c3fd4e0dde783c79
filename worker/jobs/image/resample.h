// Scaling pixels, in RGB or in luma and chroma.
//
// Everything is scaled by one separable kernel in 16 bits (zimg_graph.h), straight from the part of the source that is
// asked for: an exact crop costs nothing, and no intermediate picture is rounded. Alpha is premultiplied meanwhile, so
// that no colour leaks out of invisible pixels.
#pragma once

#include <opencv2/core/mat.hpp>

#include "worker/jobs/image/picture.h"
#include "worker/jobs/image/zimg_graph.h"
#include "worker/sdk/job.h"

namespace quern::image {

// All of them throw JobError(kCancelled), std::bad_alloc, and kTooLarge for ratios that no filter covers.

// RGB or RGBA, as it comes.
[[nodiscard]] cv::Mat resample(const cv::Mat& picture, const Resize& resize, const sdk::Job& job);

// Each plane is scaled from its own samples to the layout's: chroma never becomes as large as luma on the way. The
// picture must have no alpha.
[[nodiscard]] YuvPicture resample(const YuvPicture& picture, const Resize& resize, YuvLayout layout,
                                  const sdk::Job& job);
// Likewise, to RGB.
[[nodiscard]] cv::Mat resample_to_rgb(const YuvPicture& picture, const Resize& resize, const sdk::Job& job);

}  // namespace quern::image
