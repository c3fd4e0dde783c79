#include "worker/jobs/image/codecs/exif.h"

#include <cstdint>
#include <cstring>
#include <optional>

namespace quern::image {
namespace {

using Bytes = std::span<const std::byte>;

// A TIFF block (TIFF 6.0, section 2), of either byte order, read with every offset checked.
class Tiff {
 public:
  Tiff(Bytes bytes, bool big_endian) : bytes_(bytes), big_endian_(big_endian) {}

  [[nodiscard]] std::optional<std::uint32_t> u16(std::size_t at) const { return number(at, 2); }
  [[nodiscard]] std::optional<std::uint32_t> u32(std::size_t at) const { return number(at, 4); }

 private:
  [[nodiscard]] std::optional<std::uint32_t> number(std::size_t at, std::size_t bytes) const {
    if (at > bytes_.size() || bytes_.size() - at < bytes) return std::nullopt;
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < bytes; ++i) {
      const std::size_t index = big_endian_ ? i : bytes - 1 - i;
      value = value << 8 | static_cast<std::uint32_t>(bytes_[at + index]);
    }
    return value;
  }

  Bytes bytes_;
  bool big_endian_;
};

constexpr std::uint32_t kOrientationTag = 0x0112;
constexpr std::uint32_t kShortType = 3;
constexpr std::size_t kEntryBytes = 12;

std::optional<std::uint32_t> find_orientation(const Tiff& tiff) {
  const auto directory = tiff.u32(4);
  if (!directory) return std::nullopt;
  const auto entries = tiff.u16(*directory);
  if (!entries) return std::nullopt;
  for (std::size_t i = 0; i < *entries; ++i) {
    const std::size_t entry = *directory + 2 + i * kEntryBytes;
    if (tiff.u16(entry) != kOrientationTag) continue;
    if (tiff.u16(entry + 2) != kShortType) return std::nullopt;
    return tiff.u16(entry + 8);
  }
  return std::nullopt;
}

}  // namespace

int exif_orientation(Bytes exif) noexcept {
  constexpr std::size_t kPrefixBytes = 6;
  if (exif.size() >= kPrefixBytes && std::memcmp(exif.data(), "Exif\0\0", kPrefixBytes) == 0)
    exif = exif.subspan(kPrefixBytes);
  if (exif.size() < 8) return 1;
  const bool big_endian = std::memcmp(exif.data(), "MM\0*", 4) == 0;
  if (!big_endian && std::memcmp(exif.data(), "II*\0", 4) != 0) return 1;
  const auto orientation = find_orientation(Tiff(exif, big_endian));
  return orientation && *orientation >= 1 && *orientation <= 8 ? static_cast<int>(*orientation) : 1;
}

}  // namespace quern::image
