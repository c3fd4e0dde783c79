// Pictures that show what a resampler does wrong: aliases, haloes, banding, colour that leaks out of transparency.
#pragma once

#include <opencv2/core/mat.hpp>
#include <vector>

namespace quern::bench {

struct Chart {
  const char* name;
  cv::Mat picture;  // RGB or RGBA, 2048 x 1536
};

[[nodiscard]] std::vector<Chart> charts();

}  // namespace quern::bench
