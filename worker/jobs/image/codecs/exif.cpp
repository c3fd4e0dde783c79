#include "worker/jobs/image/codecs/exif.h"

#include <algorithm>
#include <climits>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <utility>

namespace quern::image {
namespace {

using Bytes = std::span<const std::byte>;

// A TIFF block of either byte order, read with every offset checked.
class Tiff {
 public:
  static std::optional<Tiff> open(Bytes bytes) {
    if (bytes.size() < 8) return std::nullopt;
    const bool big_endian = std::memcmp(bytes.data(), "MM\0*", 4) == 0;
    if (!big_endian && std::memcmp(bytes.data(), "II*\0", 4) != 0) return std::nullopt;
    return Tiff(bytes, big_endian);
  }

  [[nodiscard]] std::optional<std::uint32_t> u16(std::size_t at) const { return number(at, 2); }
  [[nodiscard]] std::optional<std::uint32_t> u32(std::size_t at) const { return number(at, 4); }
  [[nodiscard]] Bytes bytes() const { return bytes_; }

  // Where the entry of a tag stands in a directory.
  [[nodiscard]] std::optional<std::size_t> find(std::optional<std::uint32_t> directory, std::uint32_t tag) const {
    if (!directory) return std::nullopt;
    const auto entries = u16(*directory);
    if (!entries) return std::nullopt;
    constexpr std::size_t kEntryBytes = 12;
    for (std::size_t i = 0; i < *entries; ++i) {
      const std::size_t entry = *directory + 2 + i * kEntryBytes;
      const auto here = u16(entry);
      if (!here) return std::nullopt;
      if (*here == tag) return entry;
    }
    return std::nullopt;
  }

 private:
  Tiff(Bytes bytes, bool big_endian) : bytes_(bytes), big_endian_(big_endian) {}

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

enum Type : std::uint32_t { kAscii = 2, kShort = 3, kLong = 4, kRational = 5 };

constexpr std::uint32_t kMake = 0x010f;
constexpr std::uint32_t kModel = 0x0110;
constexpr std::uint32_t kOrientation = 0x0112;
constexpr std::uint32_t kSoftware = 0x0131;
constexpr std::uint32_t kDateTime = 0x0132;
constexpr std::uint32_t kExifDirectory = 0x8769;
constexpr std::uint32_t kGpsDirectory = 0x8825;
constexpr std::uint32_t kExposureTime = 0x829a;
constexpr std::uint32_t kFNumber = 0x829d;
constexpr std::uint32_t kIso = 0x8827;
constexpr std::uint32_t kDateTimeOriginal = 0x9003;
constexpr std::uint32_t kFocalLength = 0x920a;
constexpr std::uint32_t kLensModel = 0xa434;
constexpr std::uint32_t kGpsLatitude = 2;

Bytes without_prefix(Bytes exif) {
  constexpr std::size_t kPrefixBytes = 6;
  const bool prefixed = exif.size() >= kPrefixBytes && std::memcmp(exif.data(), "Exif\0\0", kPrefixBytes) == 0;
  return exif.subspan(prefixed ? kPrefixBytes : 0);
}

// The entry of the orientation, if it is one that can be read.
std::optional<std::size_t> find_orientation(const Tiff& tiff) {
  const auto entry = tiff.find(tiff.u32(4), kOrientation);
  return entry && tiff.u16(*entry + 2) == kShort && tiff.u16(*entry + 8) ? entry : std::nullopt;
}

// False: it has none.
bool overwrite_orientation(std::vector<std::byte>& exif, int orientation) noexcept {
  const Bytes block = without_prefix(exif);
  const auto tiff = Tiff::open(block);
  if (!tiff) return false;
  const auto entry = find_orientation(*tiff);
  if (!entry) return false;
  const bool big_endian = block[0] == std::byte{'M'};
  std::byte* value = exif.data() + (exif.size() - block.size()) + *entry + 8;
  value[big_endian ? 0 : 1] = std::byte{0};
  value[big_endian ? 1 : 0] = static_cast<std::byte>(orientation);
  return true;
}

// Appends to a block.
class BlockWriter {
 public:
  BlockWriter(std::vector<std::byte>& block, bool big_endian) : block_(block), big_endian_(big_endian) {}
  void number(std::size_t value, std::size_t bytes) {
    for (std::size_t i = 0; i < bytes; ++i) {
      block_.push_back(static_cast<std::byte>(value >> (8 * (big_endian_ ? bytes - 1 - i : i))));
    }
  }
  void text(std::string_view text) {
    for (const char c : text) block_.push_back(static_cast<std::byte>(c));
  }
  // An entry of a directory.
  void orientation(int value) {
    number(kOrientation, 2);
    number(kShort, 2);
    number(1, 4);
    number(static_cast<std::size_t>(value), 2);
    number(0, 2);
  }

 private:
  std::vector<std::byte>& block_;
  bool big_endian_;
};

// The first directory once more at the end, with the tag where its order wants it. False: there is none to copy.
bool add_directory_with(std::vector<std::byte>& exif, int orientation) {
  constexpr std::size_t kEntryBytes = 12;
  const Bytes block = without_prefix(exif);
  const auto tiff = Tiff::open(block);
  const auto at = tiff ? tiff->u32(4) : std::nullopt;
  const auto count = at ? tiff->u16(*at) : std::nullopt;
  // the entries, and where the next directory is
  if (!count || block.size() - *at < 2 + *count * kEntryBytes + 4 || *count == 0xffff) return false;
  std::vector<std::byte> copy(block.begin(), block.end());
  if (copy.size() % 2 != 0) copy.push_back(std::byte{0});  // directories begin at a word
  BlockWriter end(copy, block[0] == std::byte{'M'});
  std::vector<std::byte> begin;
  BlockWriter(begin, block[0] == std::byte{'M'}).number(copy.size(), 4);
  std::ranges::copy(begin, copy.begin() + 4);
  const auto append = [&](std::size_t from, std::size_t bytes) {
    copy.insert(copy.end(), block.begin() + static_cast<std::ptrdiff_t>(from),
                block.begin() + static_cast<std::ptrdiff_t>(from + bytes));
  };
  end.number(*count + 1, 2);
  bool written = false;
  for (std::size_t i = 0; i <= *count; ++i) {
    const std::size_t entry = *at + 2 + i * kEntryBytes;
    if (!written && (i == *count || *tiff->u16(entry) >= kOrientation)) {
      end.orientation(orientation);
      written = true;
    }
    // an orientation that can't be read is left out, but counted: it stays, behind the one that can
    append(entry, i == *count ? 4 : kEntryBytes);
  }
  exif = std::move(copy);
  return true;
}

// One directory's values.
class Directory {
 public:
  Directory(const Tiff& tiff, std::optional<std::uint32_t> at) : tiff_(tiff), at_(at) {}

  // Printable ASCII of at most 128 bytes.
  [[nodiscard]] std::string text(std::uint32_t tag) const {
    constexpr std::uint32_t kTextMax = 128;
    const auto entry = tiff_.find(at_, tag);
    if (!entry || tiff_.u16(*entry + 2) != kAscii) return {};
    const auto count = tiff_.u32(*entry + 4);
    if (!count) return {};
    const std::size_t size = std::min(*count, kTextMax);
    const auto offset =
        *count <= 4 ? std::optional<std::uint32_t>(static_cast<std::uint32_t>(*entry + 8)) : tiff_.u32(*entry + 8);
    const Bytes all = tiff_.bytes();
    if (!offset || *offset > all.size() || all.size() - *offset < size) return {};
    std::string text;
    for (const std::byte byte : all.subspan(*offset, size)) {
      const auto c = static_cast<unsigned char>(byte);
      if (c == 0) break;
      text += c >= 0x20 && c < 0x7f ? static_cast<char>(c) : '?';
    }
    while (text.ends_with(' ')) text.pop_back();
    return text;
  }

  [[nodiscard]] std::optional<double> ratio(std::uint32_t tag) const {
    const auto entry = tiff_.find(at_, tag);
    if (!entry || tiff_.u16(*entry + 2) != kRational) return std::nullopt;
    const auto offset = tiff_.u32(*entry + 8);
    if (!offset) return std::nullopt;
    const auto above = tiff_.u32(*offset);
    const auto below = tiff_.u32(std::size_t{*offset} + 4);
    if (!above || !below || *below == 0) return std::nullopt;
    return static_cast<double>(*above) / *below;
  }

  [[nodiscard]] std::optional<std::uint32_t> whole(std::uint32_t tag) const {
    const auto entry = tiff_.find(at_, tag);
    if (!entry) return std::nullopt;
    const auto type = tiff_.u16(*entry + 2);
    if (type == kShort) return tiff_.u16(*entry + 8);
    return type == kLong ? tiff_.u32(*entry + 8) : std::nullopt;
  }

  [[nodiscard]] bool has(std::uint32_t tag) const { return tiff_.find(at_, tag).has_value(); }

 private:
  const Tiff& tiff_;
  std::optional<std::uint32_t> at_;
};

}  // namespace

Bytes tiff_of_exif(Bytes exif) noexcept {
  const Bytes block = without_prefix(exif);
  return Tiff::open(block) ? block : Bytes();
}

int exif_orientation(Bytes exif) noexcept {
  const auto tiff = Tiff::open(without_prefix(exif));
  if (!tiff) return 1;
  const auto entry = find_orientation(*tiff);
  if (!entry) return 1;
  const auto orientation = tiff->u16(*entry + 8);
  return orientation && *orientation >= 1 && *orientation <= 8 ? static_cast<int>(*orientation) : 1;
}

void reset_exif_orientation(std::vector<std::byte>& exif) noexcept { (void)overwrite_orientation(exif, 1); }

void set_exif_orientation(std::vector<std::byte>& exif, int orientation) {
  if (overwrite_orientation(exif, orientation)) return;
  if (!add_directory_with(exif, orientation)) {
    exif = {};
    BlockWriter block(exif, false);
    block.text("II*");
    block.number(0, 1);
    block.number(8, 4);
    block.number(1, 2);
    block.orientation(orientation);
    block.number(0, 4);
  }
}

ExifBasics exif_basics(Bytes exif) {
  const auto tiff = Tiff::open(without_prefix(exif));
  if (!tiff) return {};
  const Directory main(*tiff, tiff->u32(4));
  const Directory details(*tiff, main.whole(kExifDirectory));
  const Directory gps(*tiff, main.whole(kGpsDirectory));
  ExifBasics basics{.make = main.text(kMake),
                    .model = main.text(kModel),
                    .lens = details.text(kLensModel),
                    .software = main.text(kSoftware),
                    .taken = details.text(kDateTimeOriginal)};
  if (basics.taken.empty()) basics.taken = main.text(kDateTime);
  basics.exposure_s = details.ratio(kExposureTime);
  basics.f_number = details.ratio(kFNumber);
  basics.focal_length_mm = details.ratio(kFocalLength);
  if (const auto iso = details.whole(kIso); iso && *iso <= INT_MAX) basics.iso = static_cast<int>(*iso);
  basics.has_gps = gps.has(kGpsLatitude);
  return basics;
}

}  // namespace quern::image
