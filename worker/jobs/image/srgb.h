// sRGB's transfer curve: from a value, 0 to 1, to the light that it stands for, and back.
#pragma once

#include <cmath>

namespace quern::image {

[[nodiscard]] inline double linear_of_srgb(double value) {
  return value <= 0.04045 ? value / 12.92 : std::pow((value + 0.055) / 1.055, 2.4);
}
[[nodiscard]] inline double srgb_of_linear(double value) {
  return value <= 0.0031308 ? value * 12.92 : 1.055 * std::pow(value, 1 / 2.4) - 0.055;
}

}  // namespace quern::image
