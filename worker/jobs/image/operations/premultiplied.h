// Filters that mix neighbouring pixels see colours weighted by alpha: what is invisible weighs nothing.
//
// Two forms. 16 bits are enough for filters whose weights are all positive: nothing gets larger than it was. Others
// overshoot; there colour must be divided by the alpha that overshot alike, and be exact where little alpha is left:
// floats.
#pragma once

#include <opencv2/core/mat.hpp>

namespace quern::image {

// CV_8UC4 to CV_16UC4: colour * alpha, everything times 257.
[[nodiscard]] cv::Mat premultiplied(const cv::Mat& straight);
// And back. Colour above alpha is cut to it.
[[nodiscard]] cv::Mat straight(const cv::Mat& premultiplied);

// CV_8UC4 to CV_32FC4: colour * alpha / 255, and alpha. CV_8UC3 to CV_32FC3 as it is.
[[nodiscard]] cv::Mat premultiplied_floats(const cv::Mat& straight);
// And back, rounded. `offset` is added to the colours in between.
[[nodiscard]] cv::Mat straight_of_floats(const cv::Mat& premultiplied, float offset = 0);

// filter(picture), with alpha premultiplied around it where there is any: the filter sees CV_8UC3 or CV_16UC4.
template <class Filter>
[[nodiscard]] cv::Mat with_premultiplied(const cv::Mat& picture, const Filter& filter) {
  return picture.channels() == 4 ? straight(filter(premultiplied(picture))) : filter(picture);
}

}  // namespace quern::image
