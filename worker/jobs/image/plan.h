// Geometry: from a picture's size and what was asked, what to do with its pixels.
//
// Fits have sharp's (and CSS object-fit's) meaning; sizes are rounded to the nearest pixel, and crops are
// centred.
#pragma once

#include <cstdint>
#include <opencv2/core/types.hpp>

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
[[nodiscard]] inline cv::Size cv_size(Size size) {
  return {static_cast<int>(size.width), static_cast<int>(size.height)};
}
[[nodiscard]] inline Size sides_of(cv::Size size) {
  return {static_cast<std::uint32_t>(size.width), static_cast<std::uint32_t>(size.height)};
}

// Whether a picture with this EXIF orientation is stored lying on its side: its width is the upright one's height.
[[nodiscard]] constexpr bool lies_on_side(int orientation) { return orientation >= 5; }
[[nodiscard]] Size upright_size(Size stored, int orientation);

// Scale all of the picture to `scaled`, then cut or pad it to `canvas`. (Who carries it out need not make
// the whole of `scaled`, which an extreme shape can make very large.)
struct Plan {
  Size scaled;
  Size canvas;
  friend bool operator==(const Plan&, const Plan&) = default;
};

// Which way a picture may be scaled.
struct Scaling {
  bool enlarge = true;
  bool reduce = true;
};

// Either side of `asked` may be 0: it is what the picture has after it was scaled by the other (as it is, with kFill).
// Both 0: nothing is scaled.
[[nodiscard]] Plan make_plan(Size source, Size asked, Fit fit, Scaling scaling = {});

// An upright picture's plan for who works on it as it is stored.
[[nodiscard]] Plan as_stored(const Plan& upright, int orientation);

// The largest of 1, 2, 4, 8 that a decoder may shrink by and still leave `headroom` times as many pixels as the plan
// needs, each way: averaging of blocks is coarser than a kernel. 1 with a headroom of 0.
[[nodiscard]] std::uint32_t shrink_on_load(Size source, const Plan& plan, double headroom);

// Where a picture lies in a larger one. -1: left or top; 0: the middle; 1: right or bottom.
struct Gravity {
  int across = 0;
  int down = 0;
  friend bool operator==(const Gravity&, const Gravity&) = default;
};

// Where a cut begins in a scaled picture, which may be larger than any picture of ours.
struct Place {
  std::int64_t x = 0;
  std::int64_t y = 0;
  friend bool operator==(const Place&, const Place&) = default;
};
struct Cut {
  Place at{};
  cv::Size size;
};
// Likewise, a cut of an upright picture that was scaled to `scaled`.
[[nodiscard]] Cut as_stored(Cut upright, Size scaled, int orientation);

// How far from its beginning, of `free` pixels; less than 0 of them where it is the larger one. An odd pixel more is
// cut before the middle, and padded behind it, as in sharp.
enum class Odd { kBefore, kBehind };
[[nodiscard]] std::int64_t offset_of(std::int64_t free, int gravity, Odd odd);

}  // namespace quern::image
