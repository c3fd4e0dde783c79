// A BMP's headers: what its pixels are and where they stand.
//
//     14 bytes   "BM", where the pixels begin
//     12         BITMAPCOREHEADER (OS/2 1, 3 bytes a palette entry)
//     40         BITMAPINFOHEADER, with masks behind it for BITFIELDS
//     52, 56     with masks inside
//     108, 124   BITMAPV4HEADER, BITMAPV5HEADER: with masks and colour space; the latter may embed a profile
//
// OS/2 2's header (64, or as much of it as its writer felt like) is read as BITMAPINFOHEADER, which it begins with.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <vector>

#include "worker/jobs/image/codec.h"
#include "worker/jobs/image/codecs/damage.h"

namespace quern::image::bmp {

enum class Coding { kPlain, kRle8, kRle4 };

// A channel of a pixel of 16 or 32 bits: bits in one piece; with no bit there is no such channel.
class Channel {
 public:
  Channel() = default;
  explicit Channel(std::uint32_t mask)
      : mask_(mask), shift_(mask == 0 ? 0 : std::countr_zero(mask)), most_(mask >> shift_) {}

  [[nodiscard]] std::uint32_t mask() const { return mask_; }
  [[nodiscard]] int bits() const { return std::popcount(mask_); }
  // As 8 bits, rounded.
  [[nodiscard]] std::uint8_t of(std::uint32_t pixel) const {
    const std::uint32_t value = (pixel & mask_) >> shift_;
    if (most_ == 255 || most_ == 0) return static_cast<std::uint8_t>(value);
    return static_cast<std::uint8_t>((std::uint64_t{value} * 255 + most_ / 2) / most_);
  }

 private:
  std::uint32_t mask_ = 0;
  int shift_ = 0;
  std::uint32_t most_ = 0;
};

struct Layout {
  std::uint32_t width = 0;
  std::uint32_t height = 0;
  bool top_down = false;
  int bits = 0;  // a pixel: 1, 4, 8, 16, 24 or 32
  Coding coding = Coding::kPlain;
  std::array<Channel, 3> rgb{};  // with 16 and 32 bits
  Channel alpha{};
  std::vector<Color> palette{};  // with up to 8 bits; at most 256
  double density = 0;            // pixels an inch; 0: not said
  Bytes pixels{};                // up to the end of the file
  Bytes profile{};               // ICC; empty: none

  // A row's pixels, without what pads them to 32 bits.
  [[nodiscard]] std::uint64_t used_bytes() const {
    return (std::uint64_t{width} * static_cast<unsigned>(bits) + 7) / 8;
  }
  [[nodiscard]] std::uint64_t row_bytes() const {
    return (std::uint64_t{width} * static_cast<unsigned>(bits) + 31) / 32 * 4;
  }
};

// Throws for what is no BMP, or one that is not read here. Takes no memory but for the palette.
[[nodiscard]] Layout read_layout(Bytes file, const Damage& damage);

}  // namespace quern::image::bmp
