// PNG's filters (third edition, clause 9), as an encoder uses them: each byte less what the bytes before and above it
// let expect.
#pragma once

#include <array>
#include <cstdint>

namespace quern::image::png {

// As they are numbered in a file. The average of both (3) is hardly ever the best, and not written here.
enum class Filter : std::uint8_t { kNone = 0, kSub = 1, kUp = 2, kPaeth = 4 };
inline constexpr std::array kFilters{Filter::kNone, Filter::kSub, Filter::kUp, Filter::kPaeth};

// Writes `bytes` filtered bytes to `to`. `above` is the row before, or zeros. `channels` bytes make a pixel.
void apply_filter(Filter filter, const std::uint8_t* row, const std::uint8_t* above, int bytes, int channels,
                  std::uint8_t* to);

}  // namespace quern::image::png
