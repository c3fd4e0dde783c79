// Where to cut a picture, judged by its pixels.
#pragma once

#include <cstdint>
#include <opencv2/core/mat.hpp>

namespace quern::image {

// Judging needs no more pixels a side, and takes long with many: a larger picture is reduced first.
inline constexpr std::uint32_t kLookSideMax = 256;

// The place of a cut of this size, which is no larger than the picture, RGB or RGBA; its middle where no place is
// better.

// The part whose luma has the highest Shannon entropy.
[[nodiscard]] cv::Point find_entropy(const cv::Mat& picture, cv::Size cut);

// The part with the most of what draws the eye, most of all in its middle: edges, colours of skin, strong colours. The
// weights are ours; the idea is that of libvips' smartcrop.
[[nodiscard]] cv::Point find_attention(const cv::Mat& picture, cv::Size cut);

}  // namespace quern::image
