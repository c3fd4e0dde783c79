// How one pixel lies on another: Porter and Duff's operators, and the blend modes of W3C's Compositing and Blending.
//
// Of a source S over a backdrop D with alphas s and d, the result has the premultiplied colour S s Fs + D d Fd and the
// alpha s Fs + d Fd; the blend modes are "over" with S replaced by a function of both where both are.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace quern::image {

enum class Blend {
  kClear,
  kSource,
  kOver,
  kIn,
  kOut,
  kAtop,
  kDest,
  kDestOver,
  kDestIn,
  kDestOut,
  kDestAtop,
  kXor,
  kAdd,       // sums, cut at white
  kSaturate,  // the backdrop, and as much of the source as there is room for
  kMultiply,
  kScreen,
  kOverlay,
  kDarken,
  kLighten,
  kColorDodge,
  kColorBurn,
  kHardLight,
  kSoftLight,
  kDifference,
  kExclusion,
};

// "over", "dest-in", "colour-dodge" (or "color-dodge"): the words of blend_words().
[[nodiscard]] Blend blend_of(std::string_view word);
[[nodiscard]] std::vector<std::string> blend_words();

// Whether an opaque backdrop stays so, whatever lies on it.
[[nodiscard]] bool keeps_opaque(Blend blend);
// Whether the backdrop stays as it is where the source is transparent.
[[nodiscard]] bool keeps_uncovered(Blend blend);

// Straight colour and alpha, 0 to 1.
struct Pixel {
  float r = 0;
  float g = 0;
  float b = 0;
  float a = 0;
};
[[nodiscard]] Pixel blended(Pixel source, Pixel backdrop, Blend blend);

}  // namespace quern::image
