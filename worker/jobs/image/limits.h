// What no result, and no picture on the way to one, may exceed.
#pragma once

#include <cstdint>

namespace quern::image {

// Of a side: what WebP can hold.
inline constexpr std::uint32_t kOutputSideMax = 16'383;
// Of an input, too, unless it is told otherwise: as sharp's limitInputPixels.
inline constexpr std::int64_t kPicturePixelsMax = std::int64_t{kOutputSideMax} * kOutputSideMax;

// Of a job: the picture, and those that are laid on it.
inline constexpr std::uint32_t kInputsMax = 16;

}  // namespace quern::image
