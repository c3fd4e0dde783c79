// image.placeholder: what a page can show before a picture is there, in a few bytes.
#pragma once

#include <opencv2/core/mat.hpp>
#include <string>

#include "worker/sdk/job.h"

namespace quern::image {

// How many waves a BlurHash has each way: 1 to 9.
struct BlurHashSize {
  int across = 4;
  int down = 3;
};

// The picture's first cosines as text (https://blurha.sh). Transparent pixels lie on white.
[[nodiscard]] std::string blur_hash(const cv::Mat& picture, BlurHashSize size, const sdk::Job& job);

}  // namespace quern::image
