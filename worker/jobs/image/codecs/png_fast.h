// The PNGs that nearly everybody sends (8-bit RGB or RGBA, not interlaced) decoded by libdeflate in one go, several
// times as fast as zlib allows row by row.
//
// It takes only what is right in every way. Whatever else there is, or is wrong, is libspng's: the one that knows
// every kind of PNG, and what to say of a damaged one.
#pragma once

#include <opencv2/core/mat.hpp>
#include <optional>

#include "worker/jobs/image/codec.h"

namespace quern::image::png {

// Larger ones are not decoded here: for so long (about 60 ms) nobody could cancel the job.
inline constexpr std::size_t kFastBytesMax = 64U << 20;

// CV_8UC3 or CV_8UC4; nothing if the file is not such a one. `header` is the same file's.
[[nodiscard]] std::optional<cv::Mat> decode_fast(Bytes file, const Header& header);

}  // namespace quern::image::png
