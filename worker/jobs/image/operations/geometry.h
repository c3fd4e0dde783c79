// Operations that move pixels: cutting, extending, trimming, turning.
//
// Sizes are checked by the caller (operation.h, check_size) before any of these allocates.
#pragma once

#include <opencv2/core/mat.hpp>
#include <optional>

#include "worker/jobs/image/picture.h"
#include "worker/sdk/job.h"

namespace quern::image {

// A copy, so that the whole can be freed. `area` lies inside of the picture.
[[nodiscard]] cv::Mat extract(const cv::Mat& picture, cv::Rect area);

struct Margins {
  int top = 0;
  int bottom = 0;
  int left = 0;
  int right = 0;
};
enum class ExtendWith {
  kBackground,
  kCopy,    // the pixels at the edge, over and over
  kRepeat,  // the whole picture, over and over
  kMirror,  // the whole picture, turned around each time
};
// The picture gets an alpha channel where the background needs one.
[[nodiscard]] cv::Mat extend(const cv::Mat& picture, Margins margins, ExtendWith with, Color background);

// How far a pixel may differ from the background, in any channel, and still belong to it.
struct TrimOptions {
  std::optional<Color> background{};  // the top left pixel's when absent
  double threshold = 10;
  bool line_art = false;  // thin lines and single pixels count; otherwise a median takes such noise away
  int margin = 0;         // kept around what is found
};
// The smallest box around all that is not background; the whole picture where everything is.
[[nodiscard]] cv::Rect trim_box(const cv::Mat& picture, const TrimOptions& options);

// Clockwise, by any angle in degrees. Multiples of 90 move pixels as they are. Others are interpolated bicubically; the
// picture grows so that its corners fit, and only what is new shows the background, with an antialiased edge. The
// result has alpha if the picture has, or if the background is not opaque.
[[nodiscard]] cv::Mat rotate(const cv::Mat& picture, double degrees, Color background, const sdk::Job& job);
[[nodiscard]] cv::Size rotated_size(cv::Size size, double degrees);

[[nodiscard]] cv::Mat flip(const cv::Mat& picture);  // upside down
[[nodiscard]] cv::Mat flop(const cv::Mat& picture);  // left to right

}  // namespace quern::image
