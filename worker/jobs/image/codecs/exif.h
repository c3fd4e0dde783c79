// The part of EXIF that matters here: the orientation, which changes how a picture looks, and a dozen tags that people
// ask for.
//
//     1 as stored   2 mirrored       3 turned by 180   4 upside down
//     5 transposed  6 needs 90 right 7 transversed     8 needs 90 left
//
// All of these take hostile blocks, with or without their "Exif\0\0" prefix, and touch nothing outside of them.
// (Sources: TIFF 6.0, section 2; CIPA DC-008, Exif 2.32.)
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace quern::image {

// The block without its prefix; empty if it does not begin as a TIFF does.
[[nodiscard]] std::span<const std::byte> tiff_of_exif(std::span<const std::byte> exif) noexcept;

// 1 when there is none or the block is malformed.
[[nodiscard]] int exif_orientation(std::span<const std::byte> exif) noexcept;

// Makes it 1, for a picture that was turned upright. A block without the tag stays as it is.
void reset_exif_orientation(std::vector<std::byte>& exif) noexcept;

// For a picture that stays as it is stored, and whose file said elsewhere than in EXIF how it lies: the block says it,
// too. One without the tag gets a directory that has it; none, or one that is malformed, becomes a block that says
// nothing else.
void set_exif_orientation(std::vector<std::byte>& exif, int orientation);

struct ExifBasics {
  std::string make{};
  std::string model{};
  std::string lens{};
  std::string software{};
  std::string taken{};  // DateTimeOriginal, or else DateTime: "2024:05:17 12:30:00"
  std::optional<double> exposure_s{};
  std::optional<double> f_number{};
  std::optional<double> focal_length_mm{};
  std::optional<int> iso{};
  bool has_gps = false;  // where it was taken is in it
};
[[nodiscard]] ExifBasics exif_basics(std::span<const std::byte> exif);

}  // namespace quern::image
