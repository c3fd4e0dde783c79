// Filters over large pictures, some rows at a time: the job is polled in between, and what a filter needs besides
// (premultiplied copies, wider numbers) is a strip's, not the picture's.
#pragma once

#include <algorithm>
#include <opencv2/core/mat.hpp>

#include "worker/sdk/job.h"

namespace quern::image {

inline constexpr std::int64_t kStripPixels = std::int64_t{1} << 18;

// filter(part) for parts of the picture's rows, put together to what filter(picture) is. `reach`: how many rows up and
// down a pixel depends on. The filter takes the edges of what it is given for the picture's: what it makes of rows
// within `reach` of them is left out, unless they are. The result has the picture's size and type.
template <class Filter>
[[nodiscard]] cv::Mat in_strips(const cv::Mat& picture, int reach, const sdk::Job& job, const Filter& filter) {
  // at least twice what is computed in vain
  const int strip = std::max(4 * reach, static_cast<int>(std::max<std::int64_t>(1, kStripPixels / picture.cols)));
  if (strip >= picture.rows) return filter(picture);
  cv::Mat out(picture.size(), picture.type());
  for (int y = 0; y < picture.rows; y += strip) {
    job.throw_if_cancelled();
    const cv::Range rows(y, std::min(y + strip, picture.rows));
    const cv::Range seen(std::max(0, rows.start - reach), std::min(picture.rows, rows.end + reach));
    const cv::Mat made = filter(picture.rowRange(seen));
    made.rowRange(rows.start - seen.start, rows.end - seen.start).copyTo(out.rowRange(rows));
  }
  return out;
}

}  // namespace quern::image
