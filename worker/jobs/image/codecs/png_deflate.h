// True-colour and grey PNGs by libdeflate, which compresses a whole picture at once, several times as fast as zlib.
#pragma once

#include <opencv2/core/mat.hpp>

#include "worker/jobs/image/codec.h"

namespace quern::image::png {

// Larger ones take too long for one call that nobody can cancel (up to 0.3 s at the default level): libspng writes
// them.
inline constexpr std::size_t kDeflateBytesMax = 32U << 20;
[[nodiscard]] bool fits_deflate(const cv::Mat& picture);

// CV_8UC1, CV_8UC3 or CV_8UC4. `level` is 0 to 9, as zlib's: up to 6 more is smaller, and from 7 on much slower.
void encode_deflate(const cv::Mat& picture, int level, const MetadataView& metadata, sdk::Output& output,
                    const sdk::Job& job);

}  // namespace quern::image::png
