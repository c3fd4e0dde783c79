#include <spng.h>

#include <cstdlib>
#include <memory>
#include <string>

#include "worker/jobs/image/codec.h"

namespace quern::image::png {
namespace {

struct FreeContext {
  void operator()(spng_ctx* context) const noexcept { spng_ctx_free(context); }
};
using Context = std::unique_ptr<spng_ctx, FreeContext>;

// Chunks that are not pixels (text, profiles) may take this much of our memory.
constexpr std::size_t kChunkBytesMax = 8U << 20;

void check(int failure, sdk::JobErrorCode code = sdk::JobErrorCode::kBadInput) {
  if (failure == SPNG_EMEM) throw std::bad_alloc();
  if (failure != 0) throw sdk::JobError(code, "PNG: " + std::string(spng_strerror(failure)));
}

Context open(Bytes bytes, spng_ihdr& header) {
  Context context(spng_ctx_new(0));
  if (!context) throw std::bad_alloc();
  check(spng_set_chunk_limits(context.get(), kChunkBytesMax, 4 * kChunkBytesMax));
  check(spng_set_png_buffer(context.get(), bytes.data(), bytes.size()));
  check(spng_get_ihdr(context.get(), &header));
  return context;
}

bool has_alpha(spng_ctx* context, const spng_ihdr& header) {
  spng_trns transparency{};
  return header.color_type == SPNG_COLOR_TYPE_GRAYSCALE_ALPHA || header.color_type == SPNG_COLOR_TYPE_TRUECOLOR_ALPHA ||
         spng_get_trns(context, &transparency) == 0;
}

}  // namespace

Header read_header(Bytes bytes) {
  spng_ihdr header{};
  const Context context = open(bytes, header);
  Header read{.format = Format::kPng, .width = header.width, .height = header.height, .alpha = has_alpha(context.get(), header)};
  if (spng_exif exif{}; spng_get_exif(context.get(), &exif) == 0) {
    read.orientation = exif_orientation(Bytes(reinterpret_cast<const std::byte*>(exif.data), exif.length));
  }
  return read;
}

cv::Mat decode(Bytes bytes, const Header& header) {
  spng_ihdr raw{};
  const Context context = open(bytes, raw);
  const auto format = header.alpha ? SPNG_FMT_RGBA8 : SPNG_FMT_RGB8;
  cv::Mat picture(static_cast<int>(header.height), static_cast<int>(header.width), header.alpha ? CV_8UC4 : CV_8UC3);
  const std::size_t size = picture.total() * picture.elemSize();
  check(spng_decode_image(context.get(), picture.data, size, format, header.alpha ? SPNG_DECODE_TRNS : 0));
  check(spng_decode_chunks(context.get()));  // a cut-off end is an error too
  return picture;
}

void encode(const cv::Mat& picture, sdk::Output& output) {
  const Context context(spng_ctx_new(SPNG_CTX_ENCODER));
  if (!context) throw std::bad_alloc();
  constexpr auto kInternal = sdk::JobErrorCode::kInternal;
  check(spng_set_option(context.get(), SPNG_ENCODE_TO_BUFFER, 1), kInternal);
  check(spng_set_option(context.get(), SPNG_IMG_COMPRESSION_LEVEL, 6), kInternal);
  spng_ihdr header{};
  header.width = static_cast<std::uint32_t>(picture.cols);
  header.height = static_cast<std::uint32_t>(picture.rows);
  header.bit_depth = 8;
  header.color_type = picture.channels() == 4 ? SPNG_COLOR_TYPE_TRUECOLOR_ALPHA : SPNG_COLOR_TYPE_TRUECOLOR;
  check(spng_set_ihdr(context.get(), &header), kInternal);
  check(spng_encode_image(context.get(), picture.data, picture.total() * picture.elemSize(), SPNG_FMT_PNG,
                          SPNG_ENCODE_FINALIZE),
        kInternal);
  std::size_t size = 0;
  int failure = 0;
  const std::unique_ptr<void, void (*)(void*)> bytes(spng_get_png_buffer(context.get(), &size, &failure), std::free);
  check(failure, kInternal);
  output.write(Bytes(static_cast<const std::byte*>(bytes.get()), size));
}

}  // namespace quern::image::png
