#include "worker/jobs/image/codecs/bmp_header.h"

#include <algorithm>
#include <array>
#include <bit>
#include <string>

namespace quern::image::bmp {
namespace {

constexpr std::size_t kFileHeaderBytes = 14;
constexpr std::uint32_t kCoreHeaderBytes = 12;
constexpr std::uint32_t kInfoHeaderBytes = 40;
constexpr std::uint32_t kMasksHeaderBytes = 52;
constexpr std::uint32_t kAlphaHeaderBytes = 56;
constexpr std::uint32_t kV5HeaderBytes = 124;

// biCompression
enum : std::uint32_t { kRgb = 0, kRle8 = 1, kRle4 = 2, kBitFields = 3, kJpeg = 4, kPng = 5, kAlphaBitFields = 6 };

// Little-endian numbers; the caller has checked that the header reaches so far.
class Reader {
 public:
  Reader(Bytes bytes, const Damage& damage) : bytes_(bytes), damage_(damage) {}

  [[nodiscard]] std::uint32_t u16(std::size_t at) const { return number(at, 2); }
  [[nodiscard]] std::uint32_t u32(std::size_t at) const { return number(at, 4); }

 private:
  [[nodiscard]] std::uint32_t number(std::size_t at, std::size_t size) const {
    if (at > bytes_.size() || bytes_.size() - at < size) damage_.refuse("the file is cut short");
    std::uint32_t value = 0;
    for (std::size_t i = size; i-- > 0;) value = value << 8 | static_cast<std::uint32_t>(bytes_[at + i]);
    return value;
  }

  Bytes bytes_;
  const Damage& damage_;
};

void read_size(Layout& layout, std::uint32_t width, std::uint32_t height, const Damage& damage) {
  constexpr std::uint32_t kNegative = 1U << 31;
  layout.width = width;
  layout.top_down = (height & kNegative) != 0;
  layout.height = layout.top_down ? ~height + 1 : height;
  if (layout.width == 0 || layout.height == 0) damage.refuse("it has no pixels");
  if (layout.width >= kNegative || layout.height >= kNegative) damage.refuse("its size is negative");
}

void read_coding(Layout& layout, std::uint32_t compression, std::uint32_t header_bytes, const Damage& damage) {
  const bool has_masks = compression == kBitFields || compression == kAlphaBitFields;
  // OS/2 2 has other meanings for these numbers
  const bool os2 = header_bytes != kInfoHeaderBytes && header_bytes < kMasksHeaderBytes;
  if (compression > kAlphaBitFields || (os2 && compression > kRle4)) damage.refuse("its compression is unknown");
  if (compression == kJpeg || compression == kPng) damage.refuse("it only wraps a JPEG or PNG for a printer");
  if (compression == kRle8) layout.coding = Coding::kRle8;
  if (compression == kRle4) layout.coding = Coding::kRle4;
  const std::array<int, 6> known{1, 4, 8, 16, 24, 32};
  const bool fits = layout.coding == Coding::kRle8   ? layout.bits == 8
                    : layout.coding == Coding::kRle4 ? layout.bits == 4
                    : has_masks                      ? layout.bits == 16 || layout.bits == 32
                                                     : std::ranges::find(known, layout.bits) != known.end();
  if (!fits) damage.refuse("its " + std::to_string(layout.bits) + " bits a pixel don't fit its compression");
  if (layout.coding != Coding::kPlain && layout.top_down) damage.refuse("it is compressed and upside down");
}

void read_masks(Layout& layout, const Reader& file, std::uint32_t compression, std::uint32_t header_bytes,
                const Damage& damage) {
  if (layout.bits == 16) layout.rgb = {Channel{0x7c00}, Channel{0x03e0}, Channel{0x001f}};
  if (layout.bits == 32) layout.rgb = {Channel{0xff0000}, Channel{0xff00}, Channel{0xff}};
  if (compression != kBitFields && compression != kAlphaBitFields) return;
  const std::size_t at = kFileHeaderBytes + kInfoHeaderBytes;  // inside of a longer header, or behind a short one
  for (std::size_t i = 0; i < layout.rgb.size(); ++i) layout.rgb[i] = Channel(file.u32(at + 4 * i));
  if (compression == kAlphaBitFields || header_bytes >= kAlphaHeaderBytes) layout.alpha = Channel(file.u32(at + 12));
  const std::uint32_t all = layout.bits == 16 ? 0xffffU : ~0U;
  std::uint32_t seen = 0;
  for (const Channel& channel : {layout.rgb[0], layout.rgb[1], layout.rgb[2], layout.alpha}) {
    const std::uint32_t mask = channel.mask();
    const std::uint32_t piece = mask == 0 ? 0 : mask >> std::countr_zero(mask);
    const bool in_one_piece = (piece & (piece + 1)) == 0;
    if (!in_one_piece || (mask & ~all) != 0 || (mask & seen) != 0) damage.refuse("its masks make no sense");
    seen |= mask;
  }
  if ((seen & ~layout.alpha.mask()) == 0) damage.refuse("its masks make no sense");
}

void read_palette(Layout& layout, Bytes file, std::size_t at, std::size_t entry_bytes, std::uint32_t asked) {
  if (layout.bits > 8 || at > file.size()) return;
  const std::size_t most = std::size_t{1} << layout.bits;
  const std::size_t there = (file.size() - at) / entry_bytes;
  const std::size_t count = std::min({asked == 0 ? most : asked, most, there});
  for (std::size_t i = 0; i < count; ++i) {
    const std::byte* entry = file.data() + at + i * entry_bytes;
    const auto part = [&](std::size_t c) { return static_cast<std::uint8_t>(entry[c]); };
    layout.palette.push_back({.r = part(2), .g = part(1), .b = part(0)});
  }
}

Bytes embedded_profile(Bytes file, const Reader& reader, std::uint32_t header_bytes) {
  constexpr std::uint32_t kEmbedded = 0x4d424544;  // 'MBED'
  if (header_bytes < kV5HeaderBytes || reader.u32(kFileHeaderBytes + 56) != kEmbedded) return {};
  const std::size_t at = kFileHeaderBytes + std::size_t{reader.u32(kFileHeaderBytes + 112)};
  const std::size_t size = reader.u32(kFileHeaderBytes + 116);
  if (size > kMetadataBytesMax || at > file.size() || file.size() - at < size) return {};
  return file.subspan(at, size);
}

}  // namespace

Layout read_layout(Bytes file, const Damage& damage) {
  const Reader reader(file, damage);
  const std::uint32_t header_bytes = reader.u32(kFileHeaderBytes);
  const auto field = [&](std::size_t at) { return reader.u32(kFileHeaderBytes + at); };
  Layout layout;
  std::uint32_t compression = kRgb;
  std::uint32_t colors = 0;
  std::size_t palette_at = kFileHeaderBytes + header_bytes;
  const bool core = header_bytes == kCoreHeaderBytes;
  if (core) {
    read_size(layout, reader.u16(18), reader.u16(20), damage);
    layout.bits = static_cast<int>(reader.u16(24));
  } else {
    if (header_bytes < 16 || header_bytes > kV5HeaderBytes) damage.refuse("its header has an unknown length");
    read_size(layout, field(4), field(8), damage);
    layout.bits = static_cast<int>(reader.u16(28));
    if (header_bytes >= 20) compression = field(16);
    constexpr double kMetresPerInch = 0.0254;
    if (header_bytes >= kInfoHeaderBytes) {
      layout.density = static_cast<std::int32_t>(field(24)) > 0 ? field(24) * kMetresPerInch : 0;
      colors = field(32);
    }
  }
  read_coding(layout, compression, header_bytes, damage);
  read_masks(layout, reader, compression, header_bytes, damage);
  if (header_bytes == kInfoHeaderBytes && compression == kBitFields) palette_at += 12;
  if (header_bytes == kInfoHeaderBytes && compression == kAlphaBitFields) palette_at += 16;
  // a palette reaches at most up to the pixels
  const std::size_t pixels_at = reader.u32(10);
  if (pixels_at < palette_at) damage.refuse("its pixels begin inside of its header");
  read_palette(layout, file.first(std::min(file.size(), pixels_at)), palette_at, core ? 3 : 4, colors);
  if (pixels_at < file.size()) layout.pixels = file.subspan(pixels_at);
  layout.profile = embedded_profile(file, reader, header_bytes);
  return layout;
}

}  // namespace quern::image::bmp
