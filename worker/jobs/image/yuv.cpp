#include "worker/jobs/image/yuv.h"

#include <opencv2/core.hpp>

namespace quern::image {

cv::Mat to_rgb(const Picture& picture) { return std::get<cv::Mat>(picture); }

}  // namespace quern::image
