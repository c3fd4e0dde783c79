#include "worker/jobs/image/codecs/png_palette.h"

#include <libdeflate.h>

#include <memory>
#include <new>
#include <opencv2/core.hpp>
#include <vector>

#include "worker/jobs/image/codecs/handle.h"
#include "worker/jobs/image/codecs/png_chunks.h"
#include "worker/jobs/image/codecs/quantise.h"

namespace quern::image::png {
namespace {

int depth_for(std::size_t colors) {
  for (const int depth : {1, 2, 4}) {
    if (colors <= std::size_t{1} << depth) return depth;
  }
  return 8;
}

// Rows as PNG stores them: filter byte 0 (filters gain nothing between indices), and then several pixels a byte.
std::vector<std::uint8_t> packed_rows(const cv::Mat& indices, int depth) {
  const int per_byte = 8 / depth;
  const std::size_t row_bytes = static_cast<std::size_t>((indices.cols + per_byte - 1) / per_byte) + 1;
  std::vector<std::uint8_t> rows(row_bytes * static_cast<std::size_t>(indices.rows));
  for (int y = 0; y < indices.rows; ++y) {
    std::uint8_t* to = rows.data() + static_cast<std::size_t>(y) * row_bytes + 1;
    const std::uint8_t* from = indices.ptr(y);
    for (int x = 0; x < indices.cols; ++x) {
      to[x / per_byte] |= static_cast<std::uint8_t>(from[x] << (8 - depth * (x % per_byte + 1)));
    }
  }
  return rows;
}

std::vector<std::byte> compressed(const std::vector<std::uint8_t>& rows, int level) {
  const Handle<libdeflate_compressor, libdeflate_free_compressor> compressor(libdeflate_alloc_compressor(level));
  if (!compressor) throw std::bad_alloc();
  std::vector<std::byte> out(libdeflate_zlib_compress_bound(compressor.get(), rows.size()));
  out.resize(libdeflate_zlib_compress(compressor.get(), rows.data(), rows.size(), out.data(), out.size()));
  return out;
}

}  // namespace

void encode_palette(const Quantised& quantised, const EncodeOptions& options, sdk::Output& output) {
  const int depth = depth_for(quantised.palette.size());
  ChunkWriter chunks(output);
  constexpr std::uint8_t kIndexed = 3;
  chunks.header({.width = static_cast<std::uint32_t>(quantised.indices.cols),
                 .height = static_cast<std::uint32_t>(quantised.indices.rows),
                 .depth = static_cast<std::uint8_t>(depth),
                 .color_type = kIndexed});
  chunks.metadata(options.metadata);
  std::vector<std::byte> colors;
  std::vector<std::byte> alphas;
  bool transparent = false;
  for (const Color& color : quantised.palette) {
    for (const std::uint8_t channel : {color.r, color.g, color.b}) colors.push_back(static_cast<std::byte>(channel));
    alphas.push_back(static_cast<std::byte>(color.a));
    transparent = transparent || color.a != 255;
  }
  chunks.chunk("PLTE", colors);
  if (transparent) chunks.chunk("tRNS", alphas);
  chunks.chunk("IDAT", compressed(packed_rows(quantised.indices, depth), options.compression_level));
  chunks.finish();
}

}  // namespace quern::image::png
