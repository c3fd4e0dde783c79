// The one EXIF tag that changes how a picture looks: its orientation.
//
//     1 as stored   2 mirrored       3 turned by 180   4 upside down
//     5 transposed  6 needs 90 right 7 transversed     8 needs 90 left
#pragma once

#include <cstddef>
#include <span>

namespace quern::image {

// The orientation tag (0x0112) of an EXIF block, with or without its "Exif\0\0" prefix; 1 when there is
// none or the block is malformed. Reads nothing outside `exif`.
[[nodiscard]] int exif_orientation(std::span<const std::byte> exif) noexcept;

}  // namespace quern::image
