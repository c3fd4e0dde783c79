#include "worker/jobs/image/memory_estimate.h"

#include <algorithm>

namespace quern::image {
namespace {

// Bytes a stored pixel, while it is decoded, beside the picture itself.
std::uint64_t decoder_bytes(const Header& header) {
  switch (header.format) {
    case Format::kJpeg:
    case Format::kPng:
    case Format::kTiff: return 0;
    case Format::kWebp:
      return header.frames > 1 ? 12 : header.lossless ? 4 : 1;  // canvases; the lossless decoder's own copy
    case Format::kGif: return 8;                                // the canvas, and the one to go back to
    case Format::kAvif: return 16;                              // planes of 16 bits, with borders, twice
    case Format::kBmp:
    case Format::kPlaceholder: break;
  }
  return 1;
}

// Bytes a pixel of the result, while it is encoded.
std::uint64_t encoder_bytes(const OutputEstimate& output) {
  switch (output.format) {
    case Format::kJpeg: return 4;
    case Format::kPng: return 10;  // filtered rows, and the room for them if they do not compress
    case Format::kWebp: return 24;
    case Format::kGif: return 16;
    case Format::kTiff: return 8;
    case Format::kAvif: return 60;
    case Format::kPlaceholder: return 4;  // without alpha
    case Format::kBmp: break;
  }
  return 4;
}

// libimagequant works on floats, as long as they do not get too many.
std::uint64_t palette_bytes(const OutputEstimate& output) {
  constexpr std::uint64_t kFloatBytesMax = 64U << 20;
  return output.palette ? std::min(output.pixels * 20, kFloatBytesMax) : 0;
}

// A frame that is encoded waits for the last one, and all of them are copied as they become a file.
std::uint64_t waiting_bytes(const OutputEstimate& output) {
  if (output.frames <= 1) return 0;
  const std::uint64_t bytes_a_pixel = output.format == Format::kWebp && output.lossless ? 8 : 2;
  return output.pixels * output.frames * bytes_a_pixel;
}

// Two decoded pixels. A JPEG that is shrunk comes with chroma as large as luma.
std::uint64_t bytes_of_two(const Header& header, const DecodeOptions& options) {
  const bool planes = (header.format == Format::kJpeg && options.shrink == 1) || header.format == Format::kWebp;
  const bool halved = planes && header.chroma_subsampling == "4:2:0" && !header.alpha;
  if (options.yuv_welcome && halved) return 3;
  if (header.space == ColorSpace::kCmyk) return 14;  // its inks, and what they look like
  return header.alpha ? 8 : 6;
}

}  // namespace

std::uint64_t estimated_bytes(const Header& header, const DecodeOptions& options, std::uint64_t file_bytes,
                              std::span<const OutputEstimate> outputs) {
  const std::uint64_t stored = header.pixels();
  const std::uint64_t decoded =
      stored / (std::uint64_t{options.shrink} * options.shrink) + header.width + header.height;
  // a part of the file may have to be joined, or unpacked
  const std::uint64_t picture = decoded * bytes_of_two(header, options) / 2 + file_bytes;
  const std::uint64_t decoding = picture + stored * decoder_bytes(header) + header.scratch_bytes;
  std::uint64_t working = 0;
  std::uint64_t kept = 0;
  for (const OutputEstimate& output : outputs) {
    const std::uint64_t channels = output.alpha ? 4 : 3;
    // an operation's copy of its picture (with alpha premultiplied in 16 bits), and its result
    const std::uint64_t operating = output.operated_pixels * (output.alpha ? 18 : 9);
    // metadata is compressed, or put into a file that was made without it
    const std::uint64_t encoding =
        output.pixels * (2 * channels + encoder_bytes(output)) + palette_bytes(output) + 3 * output.metadata_bytes;
    working = std::max({working, operating, encoding});
    kept += output.pixels * channels + waiting_bytes(output);
  }
  return kEstimateBase + std::max(decoding, picture + working) + kept;
}

std::uint64_t estimated_bytes_of_whole(const Header& header, std::uint64_t file_bytes) {
  const std::uint64_t pixels = header.pixels();
  // as stored, upright and in sRGB: two copies at a time
  return pixels * (decoder_bytes(header) + (header.alpha ? 8U : 7U)) + header.scratch_bytes + file_bytes;
}

}  // namespace quern::image
