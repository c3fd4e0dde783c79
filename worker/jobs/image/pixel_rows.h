// Loops over the pixels of a row, where a picture changes its shape: between pixels and planes, and with colours
// multiplied by their alpha. Columns [left, right); pointers are to column 0.
//
// Premultiplied planes have 16 bits: colour times alpha, and alpha times 255, so that 255 * 255 is one. Both are exact.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace quern::image {

using PlaneRows = std::array<std::byte*, 4>;

void split_rgb(const unsigned char* rgb, const PlaneRows& to, unsigned left, unsigned right);
void merge_rgb(const PlaneRows& from, unsigned char* rgb, unsigned left, unsigned right);
void premultiply(const unsigned char* rgba, const PlaneRows& to, unsigned left, unsigned right);
// The same of two rows of `width` pixels, each column the mean of two by two; an odd last pixel counts twice.
void split_rgb_halved(const unsigned char* upper, const unsigned char* lower, int width, const PlaneRows& to,
                      unsigned left, unsigned right);
void premultiply_halved(const unsigned char* upper, const unsigned char* lower, int width, const PlaneRows& to,
                        unsigned left, unsigned right);
// Overshoots of a kernel are clamped; where alpha is 0 the colour is black.
void unpremultiply(const PlaneRows& from, unsigned char* rgba, unsigned left, unsigned right);

// How 16-bit luma and chroma become 8-bit RGB: (value - zero) * scale, and then BT.601's matrix.
struct YuvToRgb {
  float luma_scale;
  float luma_zero;
  float chroma_scale;
  float chroma_zero;
};
void wide_yuv_to_rgb(const std::uint16_t* luma, const std::uint16_t* cb, const std::uint16_t* cr,
                     const YuvToRgb& conversion, unsigned char* rgb, int width);

}  // namespace quern::image
