#include "worker/jobs/image/lab.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "worker/jobs/image/srgb.h"

namespace quern::image {
namespace {

constexpr std::size_t kRootSteps = 1U << 12;     // interpolated: L is right to 0.001
constexpr std::size_t kEncodedSteps = 1U << 14;  // a fifth of the smallest step of sRGB's 8 bits

// sRGB's primaries in XYZ, each row divided by D65's white, so that white is 1, 1, 1.
constexpr float kXyzOfRgb[3][3] = {{0.4124564F / 0.95047F, 0.3575761F / 0.95047F, 0.1804375F / 0.95047F},
                                   {0.2126729F, 0.7151522F, 0.0721750F},
                                   {0.0193339F / 1.08883F, 0.1191920F / 1.08883F, 0.9503041F / 1.08883F}};
constexpr float kRgbOfXyz[3][3] = {{3.2404542F * 0.95047F, -1.5371385F, -0.4985314F * 1.08883F},
                                   {-0.9692660F * 0.95047F, 1.8760108F, 0.0415560F * 1.08883F},
                                   {0.0556434F * 0.95047F, -0.2040259F, 1.0572252F * 1.08883F}};
constexpr float kLinearBelow = 216.0F / 24389;  // CIE's epsilon
constexpr float kSlope = 24389.0F / 27 / 116;   // and kappa

struct Tables {
  std::array<float, 256> linear{};                               // of an sRGB value
  std::vector<float> root = std::vector<float>(kRootSteps + 2);  // Lab's f(t), t from 0 to 1
  // of the middle of each step: looked up without rounding
  std::vector<std::uint8_t> srgb = std::vector<std::uint8_t>(kEncodedSteps + 1);

  Tables() {
    for (std::size_t i = 0; i < linear.size(); ++i)
      linear[i] = static_cast<float>(linear_of_srgb(static_cast<double>(i) / 255));
    for (std::size_t i = 0; i < root.size(); ++i) {
      const double t = static_cast<double>(i) / kRootSteps;
      root[i] = static_cast<float>(t > double{kLinearBelow} ? std::cbrt(t) : double{kSlope} * t + 16.0 / 116);
    }
    for (std::size_t i = 0; i < srgb.size(); ++i) {
      srgb[i] = static_cast<std::uint8_t>(
          std::lround(srgb_of_linear(std::min(1.0, (static_cast<double>(i) + 0.5) / kEncodedSteps)) * 255));
    }
  }
};

const Tables& tables() {
  static const Tables all;
  return all;
}

float root_of(const Tables& table, float t) {
  const float at = std::clamp(t, 0.0F, 1.0F) * kRootSteps;
  const auto i = static_cast<std::size_t>(at);
  const float part = at - static_cast<float>(i);
  return table.root[i] + part * (table.root[i + 1] - table.root[i]);
}

float cube_of(float f) { return f > 6.0F / 29 ? f * f * f : (f - 16.0F / 116) / kSlope; }

std::uint8_t encode(const Tables& table, float linear) {
  // also of what is no number: it is not above 0
  const float at = linear > 0 ? std::min(linear, 1.0F) : 0.0F;
  return table.srgb[static_cast<std::size_t>(at * kEncodedSteps)];
}

float dot(const float (&row)[3], float x, float y, float z) { return row[0] * x + row[1] * y + row[2] * z; }

}  // namespace

Lab lab_of(Rgb color) {
  const Tables& table = tables();
  const float r = table.linear[color[0]];
  const float g = table.linear[color[1]];
  const float b = table.linear[color[2]];
  const float fx = root_of(table, dot(kXyzOfRgb[0], r, g, b));
  const float fy = root_of(table, dot(kXyzOfRgb[1], r, g, b));
  const float fz = root_of(table, dot(kXyzOfRgb[2], r, g, b));
  return {.l = 116 * fy - 16, .a = 500 * (fx - fy), .b = 200 * (fy - fz)};
}

Rgb rgb_of(const Lab& color) {
  const Tables& table = tables();
  const float fy = (color.l + 16) / 116;
  const float x = cube_of(fy + color.a / 500);
  const float y = cube_of(fy);
  const float z = cube_of(fy - color.b / 200);
  return {encode(table, dot(kRgbOfXyz[0], x, y, z)), encode(table, dot(kRgbOfXyz[1], x, y, z)),
          encode(table, dot(kRgbOfXyz[2], x, y, z))};
}

std::uint8_t grey_of(Rgb color) {
  const Tables& table = tables();
  return encode(table, dot(kXyzOfRgb[1], table.linear[color[0]], table.linear[color[1]], table.linear[color[2]]));
}

void prepare_lab_tables() { (void)tables(); }

}  // namespace quern::image
