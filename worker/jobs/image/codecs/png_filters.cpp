#include "worker/jobs/image/codecs/png_filters.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "worker/jobs/image/cpu_clones.h"

namespace quern::image::png {
namespace {

QUERN_FOR_NEWER_CPUS
void sub(const std::uint8_t* row, int bytes, int channels, std::uint8_t* __restrict to) {
  for (int i = channels; i < bytes; ++i) to[i] = static_cast<std::uint8_t>(row[i] - row[i - channels]);
}

QUERN_FOR_NEWER_CPUS
void up(const std::uint8_t* row, const std::uint8_t* above, int bytes, std::uint8_t* __restrict to) {
  for (int i = 0; i < bytes; ++i) to[i] = static_cast<std::uint8_t>(row[i] - above[i]);
}

QUERN_FOR_NEWER_CPUS
void paeth(const std::uint8_t* row, const std::uint8_t* above, int bytes, int channels, std::uint8_t* __restrict to) {
  for (int i = channels; i < bytes; ++i) {
    const auto a = static_cast<std::int16_t>(row[i - channels]);
    const auto b = static_cast<std::int16_t>(above[i]);
    const auto c = static_cast<std::int16_t>(above[i - channels]);
    const auto pa = static_cast<std::int16_t>(std::abs(b - c));
    const auto pb = static_cast<std::int16_t>(std::abs(a - c));
    const auto pc = static_cast<std::int16_t>(std::abs(a + b - 2 * c));
    const std::int16_t upper = pb <= pc ? b : c;
    const bool left = pa <= pb && pa <= pc;
    to[i] = static_cast<std::uint8_t>(row[i] - (left ? a : upper));
  }
}

}  // namespace

void apply_filter(Filter filter, const std::uint8_t* row, const std::uint8_t* above, int bytes, int channels,
                  std::uint8_t* to) {
  const int first = std::min(channels, bytes);  // pixels before the first count as zeros
  switch (filter) {
    case Filter::kNone: std::memcpy(to, row, static_cast<std::size_t>(bytes)); return;
    case Filter::kSub: std::memcpy(to, row, static_cast<std::size_t>(first)); return sub(row, bytes, channels, to);
    case Filter::kUp: return up(row, above, bytes, to);
    case Filter::kPaeth: up(row, above, first, to); return paeth(row, above, bytes, channels, to);
  }
}

}  // namespace quern::image::png
