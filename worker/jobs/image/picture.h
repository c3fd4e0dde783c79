// A decoded picture, in one of two shapes.
//
// Most work is done on RGB or RGBA, one byte a channel, not premultiplied: cv::Mat, CV_8UC3 (R,G,B) or CV_8UC4
// (R,G,B,A), in sRGB. JPEG and lossy WebP hold luma and halved chroma instead, and so do what most jobs write; a
// photo that is only resized on its way never becomes RGB: YuvPicture. Who needs RGB asks to_rgb().
#pragma once

#include <array>
#include <cstdint>
#include <opencv2/core/mat.hpp>
#include <variant>

namespace quern::image {

struct Color {
  std::uint8_t r = 0;
  std::uint8_t g = 0;
  std::uint8_t b = 0;
  std::uint8_t a = 255;
  friend bool operator==(const Color&, const Color&) = default;
};

// ITU-R BT.601 luma and chroma, 8 bits. Chroma samples sit in the middle of the pixels they stand for, as JFIF says
// and libwebp takes it.
struct YuvPicture {
  enum class Range {
    kFull,     // JFIF: 0 to 255
    kLimited,  // WebP: luma 16 to 235, chroma 16 to 240
  };
  // Y, Cb, Cr: CV_8UC1. Rows are 64-byte aligned and padded to 64 bytes, as SIMD wants them (make_plane).
  std::array<cv::Mat, 3> planes;
  cv::Mat alpha{};  // CV_8UC1 of the luma's size, or empty
  // Each chroma sample stands for (1 << shift_x) x (1 << shift_y) pixels; a picture's odd last pixel has one, too.
  int shift_x = 0;
  int shift_y = 0;
  Range range = Range::kFull;

  [[nodiscard]] cv::Size size() const { return planes[0].size(); }
};

// How luma and chroma are laid out.
struct YuvLayout {
  YuvPicture::Range range{};
  int shift_x = 0;
  int shift_y = 0;
  friend bool operator==(const YuvLayout&, const YuvLayout&) = default;
};

using Picture = std::variant<cv::Mat, YuvPicture>;

[[nodiscard]] cv::Size size_of(const Picture& picture);
[[nodiscard]] bool has_alpha(const Picture& picture);
// Whether every pixel, RGB or RGBA, is some grey.
[[nodiscard]] bool is_grey(const cv::Mat& picture);

// A plane whose rows are aligned as YuvPicture's are. Its content is not initialised.
[[nodiscard]] cv::Mat make_plane(cv::Size size, int type = CV_8UC1);

}  // namespace quern::image
