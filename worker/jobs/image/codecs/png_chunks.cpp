#include "worker/jobs/image/codecs/png_chunks.h"

#include <libdeflate.h>

#include <algorithm>
#include <array>
#include <memory>
#include <new>
#include <vector>

#include "worker/jobs/image/codecs/handle.h"

namespace quern::image::png {
namespace {

constexpr std::size_t kHeadBytes = 8;  // length and type
constexpr std::size_t kCrcBytes = 4;

void put(std::byte* to, std::uint32_t value) {
  for (int i = 0; i < 4; ++i) to[i] = static_cast<std::byte>(value >> (24 - 8 * i));
}

void append(std::vector<std::byte>& to, std::string_view text) {
  const auto bytes = std::as_bytes(std::span(text));
  to.insert(to.end(), bytes.begin(), bytes.end());
}

std::vector<std::byte> zlib_compressed(Bytes data) {
  const Handle<libdeflate_compressor, libdeflate_free_compressor> compressor(libdeflate_alloc_compressor(6));
  if (!compressor) throw std::bad_alloc();
  std::vector<std::byte> out(libdeflate_zlib_compress_bound(compressor.get(), data.size()));
  out.resize(libdeflate_zlib_compress(compressor.get(), data.data(), data.size(), out.data(), out.size()));
  return out;
}

}  // namespace

ChunkWriter::ChunkWriter(sdk::Output& output) : output_(output) {
  output_.write(std::string_view("\x89PNG\r\n\x1a\n", 8));
}

void ChunkWriter::header(const ImageHeader& header) {
  std::array<std::byte, 13> data{};
  put(data.data(), header.width);
  put(data.data() + 4, header.height);
  data[8] = static_cast<std::byte>(header.depth);
  data[9] = static_cast<std::byte>(header.color_type);
  chunk("IHDR", data);  // compression, filter and interlace methods are 0
}

void ChunkWriter::metadata(const MetadataView& metadata) {
  if (!metadata.icc.empty()) {
    std::vector<std::byte> data;
    append(data, {"icc\0\0", 5});  // a name, and compression method 0
    const std::vector<std::byte> compressed = zlib_compressed(metadata.icc);
    data.insert(data.end(), compressed.begin(), compressed.end());
    chunk("iCCP", data);
  }
  if (!metadata.exif.empty()) chunk("eXIf", metadata.exif);
  if (!metadata.xmp.empty()) {
    std::vector<std::byte> data;
    append(data, {"XML:com.adobe.xmp\0\0\0\0\0", 22});  // not compressed, no language, no translated keyword
    data.insert(data.end(), metadata.xmp.begin(), metadata.xmp.end());
    chunk("iTXt", data);
  }
}

void ChunkWriter::chunk(std::string_view type, Bytes data) {
  std::ranges::copy(data, begin(type, data.size()).begin());
  end(data.size());
}

std::span<std::byte> ChunkWriter::begin(std::string_view type, std::size_t most) {
  room_ = output_.prepare(kHeadBytes + most + kCrcBytes);
  std::ranges::copy(std::as_bytes(std::span(type)), room_.begin() + 4);
  return room_.subspan(kHeadBytes, most);
}

void ChunkWriter::end(std::size_t size) {
  put(room_.data(), static_cast<std::uint32_t>(size));
  put(room_.data() + kHeadBytes + size, libdeflate_crc32(0, room_.data() + 4, size + 4));
  output_.commit(kHeadBytes + size + kCrcBytes);
}

void ChunkWriter::finish() { chunk("IEND", {}); }

}  // namespace quern::image::png
