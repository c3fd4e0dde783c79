#include "worker/jobs/image/pixel_rows.h"

#include <algorithm>
#include <cstdint>

#include "worker/jobs/image/cpu_clones.h"

namespace quern::image {
namespace {

std::uint8_t* bytes(std::byte* row) { return reinterpret_cast<std::uint8_t*>(row); }
std::uint16_t* words(std::byte* row) { return reinterpret_cast<std::uint16_t*>(row); }

}  // namespace

QUERN_FOR_NEWER_CPUS
void split_rgb(const unsigned char* rgb, const PlaneRows& to, unsigned left, unsigned right) {
  std::uint8_t* __restrict r = bytes(to[0]);
  std::uint8_t* __restrict g = bytes(to[1]);
  std::uint8_t* __restrict b = bytes(to[2]);
  for (std::size_t x = left; x < right; ++x) {
    r[x] = rgb[3 * x];
    g[x] = rgb[3 * x + 1];
    b[x] = rgb[3 * x + 2];
  }
}

QUERN_FOR_NEWER_CPUS
void merge_rgb(const PlaneRows& from, unsigned char* __restrict rgb, unsigned left, unsigned right) {
  const std::uint8_t* r = bytes(from[0]);
  const std::uint8_t* g = bytes(from[1]);
  const std::uint8_t* b = bytes(from[2]);
  for (std::size_t x = left; x < right; ++x) {
    rgb[3 * x] = r[x];
    rgb[3 * x + 1] = g[x];
    rgb[3 * x + 2] = b[x];
  }
}

QUERN_FOR_NEWER_CPUS
void premultiply(const unsigned char* rgba, const PlaneRows& to, unsigned left, unsigned right) {
  std::uint16_t* __restrict r = words(to[0]);
  std::uint16_t* __restrict g = words(to[1]);
  std::uint16_t* __restrict b = words(to[2]);
  std::uint16_t* __restrict a = words(to[3]);
  for (std::size_t x = left; x < right; ++x) {
    const std::uint16_t alpha = rgba[4 * x + 3];
    r[x] = static_cast<std::uint16_t>(rgba[4 * x] * alpha);
    g[x] = static_cast<std::uint16_t>(rgba[4 * x + 1] * alpha);
    b[x] = static_cast<std::uint16_t>(rgba[4 * x + 2] * alpha);
    a[x] = static_cast<std::uint16_t>(255 * alpha);
  }
}

QUERN_FOR_NEWER_CPUS
void split_rgb_halved(const unsigned char* upper, const unsigned char* lower, int width, const PlaneRows& to,
                      unsigned left, unsigned right) {
  std::uint8_t* __restrict r = bytes(to[0]);
  std::uint8_t* __restrict g = bytes(to[1]);
  std::uint8_t* __restrict b = bytes(to[2]);
  const auto mean = [&](std::size_t at, std::size_t next) {
    return static_cast<std::uint8_t>((upper[at] + upper[next] + lower[at] + lower[next] + 2) / 4);
  };
  const auto block = [&](std::size_t x, std::size_t step) {
    r[x] = mean(6 * x, 6 * x + step);
    g[x] = mean(6 * x + 1, 6 * x + 1 + step);
    b[x] = mean(6 * x + 2, 6 * x + 2 + step);
  };
  const auto whole = std::min<std::size_t>(right, static_cast<std::size_t>(width) / 2);
  for (std::size_t x = left; x < whole; ++x) block(x, 3);
  if (whole < right) block(whole, 0);
}

QUERN_FOR_NEWER_CPUS
void premultiply_halved(const unsigned char* upper, const unsigned char* lower, int width, const PlaneRows& to,
                        unsigned left, unsigned right) {
  std::uint16_t* __restrict r = words(to[0]);
  std::uint16_t* __restrict g = words(to[1]);
  std::uint16_t* __restrict b = words(to[2]);
  std::uint16_t* __restrict a = words(to[3]);
  const auto block = [&](std::size_t x, std::size_t step) {
    const std::size_t at = 8 * x;
    const std::uint32_t alpha[] = {upper[at + 3], upper[at + 3 + step], lower[at + 3], lower[at + 3 + step]};
    const auto mean = [&](std::size_t c) {
      const std::uint32_t sum = upper[at + c] * alpha[0] + upper[at + c + step] * alpha[1] + lower[at + c] * alpha[2] +
                                lower[at + c + step] * alpha[3];
      return static_cast<std::uint16_t>((sum + 2) / 4);
    };
    r[x] = mean(0);
    g[x] = mean(1);
    b[x] = mean(2);
    a[x] = static_cast<std::uint16_t>((255 * (alpha[0] + alpha[1] + alpha[2] + alpha[3]) + 2) / 4);
  };
  const auto whole = std::min<std::size_t>(right, static_cast<std::size_t>(width) / 2);
  for (std::size_t x = left; x < whole; ++x) block(x, 4);
  if (whole < right) block(whole, 0);
}

QUERN_FOR_NEWER_CPUS
void unpremultiply(const PlaneRows& from, unsigned char* __restrict rgba, unsigned left, unsigned right) {
  const std::uint16_t* r = words(from[0]);
  const std::uint16_t* g = words(from[1]);
  const std::uint16_t* b = words(from[2]);
  const std::uint16_t* a = words(from[3]);
  for (std::size_t x = left; x < right; ++x) {
    // an alpha that rounds to 0 has no colour
    const float factor = a[x] < 128 ? 0.0F : 255.0F / static_cast<float>(a[x]);
    const auto straight = [factor](std::uint16_t value) {
      return static_cast<std::uint8_t>(std::min(static_cast<float>(value) * factor + 0.5F, 255.0F));
    };
    rgba[4 * x] = straight(r[x]);
    rgba[4 * x + 1] = straight(g[x]);
    rgba[4 * x + 2] = straight(b[x]);
    rgba[4 * x + 3] = static_cast<std::uint8_t>(std::min((a[x] + 127) / 255, 255));
  }
}

QUERN_FOR_NEWER_CPUS
void wide_yuv_to_rgb(const std::uint16_t* luma, const std::uint16_t* cb, const std::uint16_t* cr,
                     const YuvToRgb& conversion, unsigned char* __restrict rgb, int width) {
  const auto to_byte = [](float value) { return static_cast<std::uint8_t>(std::clamp(value, 0.0F, 255.0F)); };
  for (int x = 0; x < width; ++x) {
    const float y = (static_cast<float>(luma[x]) - conversion.luma_zero) * conversion.luma_scale + 0.5F;
    const float b = (static_cast<float>(cb[x]) - conversion.chroma_zero) * conversion.chroma_scale;
    const float r = (static_cast<float>(cr[x]) - conversion.chroma_zero) * conversion.chroma_scale;
    rgb[3 * x] = to_byte(y + 1.402F * r);
    rgb[3 * x + 1] = to_byte(y - 0.344136F * b - 0.714136F * r);
    rgb[3 * x + 2] = to_byte(y + 1.772F * b);
  }
}

}  // namespace quern::image
