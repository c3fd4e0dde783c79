// CIE L*a*b* (D65) of sRGB, for operations on what the eye sees: L is lightness, 0 to 100; a and b are the colour.
//
// Tables make it fast; a picture's colours come back from there and here as they were.
#pragma once

#include <array>
#include <cstdint>

namespace quern::image {

struct Lab {
  float l = 0;
  float a = 0;
  float b = 0;
};

using Rgb = std::array<std::uint8_t, 3>;

[[nodiscard]] Lab lab_of(Rgb color);
// What lies outside of sRGB is cut to it, channel by channel: a colour far above L 100 is white.
[[nodiscard]] Rgb rgb_of(const Lab& color);

// Luminance (BT.709, of linear light) as an sRGB grey of 0 to 255.
[[nodiscard]] std::uint8_t grey_of(Rgb color);

// Builds the tables, which the first use does otherwise: once before workers are forked, they share them.
void prepare_lab_tables();

}  // namespace quern::image
