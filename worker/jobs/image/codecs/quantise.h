// Few colours for a picture, by libimagequant: a palette made for it, and its pixels as indices.
#pragma once

#include <opencv2/core/mat.hpp>
#include <vector>

#include "worker/jobs/image/picture.h"
#include "worker/sdk/job.h"

namespace quern::image {

inline constexpr int kQuantiseEffortDefault = 7;  // as sharp's

struct QuantiseOptions {
  int colors = 256;                     // 2 to 256
  int quality = 100;                    // 1 to 100: fewer colours where that is as good
  double dither = 1;                    // 0 to 1
  int effort = kQuantiseEffortDefault;  // 1 to 10
};

struct Quantised {
  std::vector<Color> palette;
  cv::Mat indices;  // CV_8UC1
};

// CV_8UC3 or CV_8UC4. Throws kCancelled and std::bad_alloc.
[[nodiscard]] Quantised quantise(const cv::Mat& picture, const QuantiseOptions& options, const sdk::Job& job);

}  // namespace quern::image
