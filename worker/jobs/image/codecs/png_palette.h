// PNGs of at most 256 colours, chosen for the picture by libimagequant.
#pragma once

#include <opencv2/core/mat.hpp>

#include "worker/jobs/image/codec.h"

namespace quern::image::png {

// CV_8UC3 or CV_8UC4. quality: what is as good in fewer colours has fewer. Throws JobError(kCancelled).
void encode_palette(const cv::Mat& picture, const EncodeOptions& options, sdk::Output& output, const sdk::Job& job);

}  // namespace quern::image::png
