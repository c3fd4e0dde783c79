// Between luma and chroma and RGB.
#pragma once

#include "worker/jobs/image/picture.h"

namespace quern::image {

// CV_8UC3, or CV_8UC4 where the picture has alpha. What is RGB already is handed on, not copied.
[[nodiscard]] cv::Mat to_rgb(const Picture& picture);

}  // namespace quern::image
