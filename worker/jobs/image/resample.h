// Geometry and resampling: from a decoded picture to one of the asked size.
//
// Fits have sharp's (and CSS object-fit's) meaning; dimensions are rounded to the nearest pixel and
// crops are centred. Alpha is premultiplied while resampling, in 16 bits, so that no colour leaks out
// of transparent pixels.
#pragma once

#include <array>
#include <cstdint>
#include <opencv2/core/mat.hpp>

namespace quern::image {

enum class Fit { kCover, kContain, kFill, kInside, kOutside };

struct Size {
  std::uint32_t width = 0;
  std::uint32_t height = 0;
  friend bool operator==(const Size&, const Size&) = default;
};

struct Color {
  std::uint8_t r = 0;
  std::uint8_t g = 0;
  std::uint8_t b = 0;
  std::uint8_t a = 255;
};

// What to do with a source of a given size: scale all of it, then cut or pad to the canvas.
struct Plan {
  Size scaled;
  Size canvas;
};
// Either of width and height may be 0: it follows from the other.
[[nodiscard]] Plan make_plan(Size source, Size asked, Fit fit, bool without_enlargement);

// The largest of 1, 2, 4, 8 that a decoder may shrink by and still leave twice the pixels in each
// direction that the plan needs.
[[nodiscard]] std::uint32_t shrink_on_load(Size source, const Plan& plan);

[[nodiscard]] cv::Mat resample(const cv::Mat& picture, const Plan& plan, Color background);

// Turns a picture stored with EXIF orientation `orientation` upright.
[[nodiscard]] cv::Mat upright(const cv::Mat& picture, int orientation);

// Over a background, for formats without alpha.
[[nodiscard]] cv::Mat flatten(const cv::Mat& picture, Color background);

}  // namespace quern::image
