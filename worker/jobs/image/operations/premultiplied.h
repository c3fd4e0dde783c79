// Filters that mix neighbouring pixels see colours weighted by alpha: what is invisible weighs nothing.
#pragma once

#include <opencv2/core/mat.hpp>

namespace quern::image {

// CV_8UC4 to CV_16UC4: colour * alpha, everything times 257.
[[nodiscard]] cv::Mat premultiplied(const cv::Mat& straight);
// And back. Colour above alpha, as sharp filters leave it, is cut to it.
[[nodiscard]] cv::Mat straight(const cv::Mat& premultiplied);

// filter(picture), with alpha premultiplied around it where there is any: the filter sees CV_8UC3 or CV_16UC4.
template <class Filter>
[[nodiscard]] cv::Mat with_premultiplied(const cv::Mat& picture, const Filter& filter) {
  return picture.channels() == 4 ? straight(filter(premultiplied(picture))) : filter(picture);
}

}  // namespace quern::image
