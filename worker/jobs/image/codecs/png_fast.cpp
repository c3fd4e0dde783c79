#include "worker/jobs/image/codecs/png_fast.h"

#include <libdeflate.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string_view>
#include <vector>

#include "worker/jobs/image/codecs/handle.h"

namespace quern::image::png {
namespace {

// PNG specification, third edition: 5.2 signature, 5.3 chunks, 9 filters, 11.2.1 IHDR.
constexpr std::size_t kSignatureBytes = 8;
constexpr std::size_t kIhdrBytes = 13;
constexpr std::size_t kChunkOverhead = 12;  // length, type, CRC

std::uint32_t big_endian(const std::byte* at) {
  std::array<std::uint8_t, 4> b{};
  std::memcpy(b.data(), at, b.size());
  return static_cast<std::uint32_t>(b[0]) << 24 | static_cast<std::uint32_t>(b[1]) << 16 |
         static_cast<std::uint32_t>(b[2]) << 8 | b[3];
}

struct Chunk {
  std::string_view type;
  Bytes data;
};

// The chunk at `at`, which moves behind it; nothing if it is cut short or its checksum is wrong.
std::optional<Chunk> next_chunk(Bytes file, std::size_t& at) {
  if (file.size() - at < kChunkOverhead) return {};
  const std::size_t size = big_endian(file.data() + at);
  if (size > file.size() - at - kChunkOverhead) return {};
  const Bytes checked = file.subspan(at + 4, size + 4);
  if (libdeflate_crc32(0, checked.data(), checked.size()) != big_endian(file.data() + at + 8 + size)) return {};
  at += kChunkOverhead + size;
  return Chunk{{reinterpret_cast<const char*>(checked.data()), 4}, checked.subspan(4)};
}

// Collects the picture's compressed bytes, without a copy where they stand in one piece.
class Compressed {
 public:
  void add(Bytes piece) {
    if (pieces_++ == 0) {
      only_ = piece;
      return;
    }
    if (pieces_ == 2) joined_.assign(only_.begin(), only_.end());
    joined_.insert(joined_.end(), piece.begin(), piece.end());
  }
  [[nodiscard]] Bytes bytes() const { return pieces_ == 1 ? only_ : Bytes(joined_); }

 private:
  int pieces_ = 0;
  Bytes only_;
  std::vector<std::byte> joined_;
};

// The whole file's structure, for the strict: nullopt is no verdict.
std::optional<Compressed> collect(Bytes file) {
  std::size_t at = kSignatureBytes;
  Compressed compressed;
  enum class Where { kBefore, kInside, kBehind } where = Where::kBefore;
  for (;;) {
    const std::optional<Chunk> chunk = next_chunk(file, at);
    if (!chunk) return {};
    if (chunk->type == "IEND") {
      if (where == Where::kBefore) return {};
      return compressed;
    }
    if (chunk->type == "IDAT") {
      if (where == Where::kBehind) return {};
      where = Where::kInside;
      compressed.add(chunk->data);
    } else {
      if (where == Where::kInside) where = Where::kBehind;
      const bool ancillary = (static_cast<unsigned char>(chunk->type[0]) & 0x20U) != 0;
      const bool expected = chunk->type == "IHDR" || (chunk->type == "PLTE" && where == Where::kBefore);
      if (chunk->type == "tRNS" || (!ancillary && !expected)) return {};
    }
  }
}

std::uint8_t paeth(int a, int b, int c) {
  const int pa = std::abs(b - c);
  const int pb = std::abs(a - c);
  const int pc = std::abs(a + b - 2 * c);
  if (pa <= pb && pa <= pc) return static_cast<std::uint8_t>(a);
  return static_cast<std::uint8_t>(pb <= pc ? b : c);
}

// A row behind its filter byte, in place. `above` is the row before, or zeros.
template <int kChannels>
bool unfilter(int filter, std::uint8_t* row, const std::uint8_t* above, int bytes) {
  switch (filter) {
    case 0: return true;
    case 1:
      for (int i = kChannels; i < bytes; ++i) row[i] = static_cast<std::uint8_t>(row[i] + row[i - kChannels]);
      return true;
    case 2:
      for (int i = 0; i < bytes; ++i) row[i] = static_cast<std::uint8_t>(row[i] + above[i]);
      return true;
    case 3:
      for (int i = 0; i < kChannels; ++i) row[i] = static_cast<std::uint8_t>(row[i] + above[i] / 2);
      for (int i = kChannels; i < bytes; ++i) {
        row[i] = static_cast<std::uint8_t>(row[i] + (row[i - kChannels] + above[i]) / 2);
      }
      return true;
    case 4:
      for (int i = 0; i < kChannels; ++i) row[i] = static_cast<std::uint8_t>(row[i] + above[i]);
      for (int i = kChannels; i < bytes; i += kChannels) {
        for (int c = 0; c < kChannels; ++c) {
          row[i + c] = static_cast<std::uint8_t>(row[i + c] +
                                                 paeth(row[i + c - kChannels], above[i + c], above[i + c - kChannels]));
        }
      }
      return true;
    default: return false;
  }
}

template <int kChannels>
bool unfilter_all(cv::Mat& raw) {
  const std::vector<std::uint8_t> zeros(static_cast<std::size_t>(raw.cols));
  const std::uint8_t* above = zeros.data() + 1;
  for (int y = 0; y < raw.rows; ++y) {
    std::uint8_t* row = raw.ptr(y);
    if (!unfilter<kChannels>(row[0], row + 1, above, raw.cols - 1)) return false;
    above = row + 1;
  }
  return true;
}

bool is_regular(Bytes file, const Header& header) {
  if (header.depth != 8 || header.palette_bits != 0 || header.progressive || header.space != ColorSpace::kRgb)
    return false;
  // read once more from the bytes that are decoded: colour type 2 is RGB, 6 is RGBA
  if (file.size() < kSignatureBytes + kChunkOverhead + kIhdrBytes) return false;
  const auto color_type = static_cast<int>(file[kSignatureBytes + 8 + 9]);
  return color_type == (header.alpha ? 6 : 2);
}

}  // namespace

std::optional<cv::Mat> decode_fast(Bytes file, const Header& header) {
  if (!is_regular(file, header)) return {};
  const std::size_t channels = header.alpha ? 4 : 3;
  const std::size_t row_bytes = header.width * channels + 1;
  if (row_bytes * header.height > kFastBytesMax) return {};
  const std::optional<Compressed> compressed = collect(file);
  if (!compressed) return {};
  const Handle<libdeflate_decompressor, libdeflate_free_decompressor> inflater(libdeflate_alloc_decompressor());
  if (!inflater) throw std::bad_alloc();
  cv::Mat raw(static_cast<int>(header.height), static_cast<int>(row_bytes), CV_8UC1);
  const Bytes bytes = compressed->bytes();
  if (libdeflate_zlib_decompress(inflater.get(), bytes.data(), bytes.size(), raw.data, raw.total(), nullptr) !=
      LIBDEFLATE_SUCCESS) {
    return {};
  }
  if (!(channels == 4 ? unfilter_all<4>(raw) : unfilter_all<3>(raw))) return {};
  // the rows stay where they are, behind their filter bytes
  return raw.colRange(1, raw.cols).reshape(static_cast<int>(channels));
}

}  // namespace quern::image::png
