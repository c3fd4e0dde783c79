// Geometry: from a picture's size and what was asked, what to do with its pixels.
//
// Fits have sharp's (and CSS object-fit's) meaning; sizes are rounded to the nearest pixel, and crops are
// centred.
#pragma once

#include <cstdint>

namespace quern::image {

enum class Fit {
  kCover,    // fills the asked size, what stands over is cut
  kContain,  // lies inside of the asked size, the rest is background
  kFill,     // is stretched to the asked size
  kInside,   // as large as fits inside of the asked size
  kOutside,  // as small as fills the asked size, nothing is cut
};

struct Size {
  std::uint32_t width = 0;
  std::uint32_t height = 0;
  friend bool operator==(const Size&, const Size&) = default;
};

// Scale all of the picture to `scaled`, then cut or pad it to `canvas`. (Who carries it out need not make
// the whole of `scaled`, which an extreme shape can make very large.)
struct Plan {
  Size scaled;
  Size canvas;
  friend bool operator==(const Plan&, const Plan&) = default;
};

enum class Enlargement { kAllowed, kForbidden };

// Either side of `asked` may be 0: it follows from the other (stays as it is, with kFill).
[[nodiscard]] Plan make_plan(Size source, Size asked, Fit fit, Enlargement enlargement);

// The same for the picture lying on its side.
[[nodiscard]] Plan turned(const Plan& plan);

// The largest of 1, 2, 4, 8 that a decoder may shrink by and still leave twice the pixels that the plan
// needs, each way: block averaging in the decoder is coarser than ours.
[[nodiscard]] std::uint32_t shrink_on_load(Size source, const Plan& plan);

// One axis of a plan: scale the pixels [begin, end) of the source to `scaled`, and keep `kept` of these
// from `offset` on. Equals scaling everything and cutting, within half a pixel.
struct Window {
  int begin = 0;
  int end = 0;
  int scaled = 0;
  int offset = 0;
  int kept = 0;
};
[[nodiscard]] Window window_of(std::uint32_t source, std::uint32_t scaled, std::uint32_t canvas);

}  // namespace quern::image
