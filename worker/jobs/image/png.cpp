#include <spng.h>

#include <exception>
#include <memory>
#include <new>
#include <string>

#include "worker/jobs/image/codec.h"
#include "worker/jobs/image/exif.h"

namespace quern::image::png {
namespace {

struct FreeContext {
  void operator()(spng_ctx* context) const noexcept { spng_ctx_free(context); }
};
using Context = std::unique_ptr<spng_ctx, FreeContext>;

// What is no pixel (text, profiles) may take this much of our memory.
constexpr std::size_t kChunkBytesMax = 8U << 20;
constexpr std::uint32_t kRowsPerPoll = 64;
constexpr int kCompressionLevel = 6;  // zlib's and sharp's default

void check(int failure, sdk::JobErrorCode code = sdk::JobErrorCode::kBadInput) {
  if (failure == SPNG_EMEM) throw std::bad_alloc();
  if (failure == SPNG_EOVERFLOW) code = sdk::JobErrorCode::kTooLarge;  // a size that no memory has
  if (failure != 0) throw sdk::JobError(code, "PNG: " + std::string(spng_strerror(failure)));
}

Context open(Bytes bytes, spng_ihdr& header) {
  Context context(spng_ctx_new(0));
  if (!context) throw std::bad_alloc();
  check(spng_set_chunk_limits(context.get(), kChunkBytesMax, 4 * kChunkBytesMax));
  // a checksum that fails in a chunk that is no picture costs that chunk, not the picture
  check(spng_set_crc_action(context.get(), SPNG_CRC_ERROR, SPNG_CRC_DISCARD));
  check(spng_set_png_buffer(context.get(), bytes.data(), bytes.size()));
  check(spng_get_ihdr(context.get(), &header));
  return context;
}

bool has_alpha(spng_ctx* context, const spng_ihdr& header) {
  if (header.color_type == SPNG_COLOR_TYPE_GRAYSCALE_ALPHA || header.color_type == SPNG_COLOR_TYPE_TRUECOLOR_ALPHA)
    return true;
  spng_trns transparency{};
  const int failure = spng_get_trns(context, &transparency);
  if (failure != 0 && failure != SPNG_ECHUNKAVAIL) check(failure);
  return failure == 0;
}

// Runs `step` on each row; it returns spng's status.
template <class Step>
void for_each_row(spng_ctx* context, const sdk::Job& job, sdk::JobErrorCode code, Step step) {
  int status = 0;
  for (std::uint32_t row = 0; status == 0; ++row) {
    if (row % kRowsPerPoll == 0) job.throw_if_cancelled();
    spng_row_info info{};
    status = spng_get_row_info(context, &info);
    if (status == 0) status = step(info.row_num);
  }
  if (status != SPNG_EOI) check(status, code);
}

// libspng writes straight into the result; an exception waits here until its frames are left.
struct Sink {
  sdk::Output* output;
  std::exception_ptr failure{};
};

int write(spng_ctx* /*context*/, void* user, void* data, std::size_t size) {
  auto* sink = static_cast<Sink*>(user);
  try {
    sink->output->write(Bytes(static_cast<const std::byte*>(data), size));
    return 0;
  } catch (...) {
    sink->failure = std::current_exception();
    return SPNG_IO_ERROR;
  }
}

}  // namespace

Header read_header(Bytes bytes) {
  spng_ihdr header{};
  const Context context = open(bytes, header);
  Header read{.format = Format::kPng,
              .width = header.width,
              .height = header.height,
              .orientation = 1,
              .alpha = has_alpha(context.get(), header)};
  if (spng_exif exif{}; spng_get_exif(context.get(), &exif) == 0) {
    read.orientation = exif_orientation(Bytes(reinterpret_cast<const std::byte*>(exif.data), exif.length));
  }
  return read;
}

// Every kind of PNG becomes 8-bit RGB or RGBA: grey is spread, palettes are looked up, of 16 bits the
// upper 8 stay.
cv::Mat decode(Bytes bytes, const Header& header, const sdk::Job& job) {
  spng_ihdr raw{};
  const Context context = open(bytes, raw);
  cv::Mat picture(static_cast<int>(header.height), static_cast<int>(header.width), header.alpha ? CV_8UC4 : CV_8UC3);
  const int format = header.alpha ? SPNG_FMT_RGBA8 : SPNG_FMT_RGB8;
  const int flags = SPNG_DECODE_PROGRESSIVE | (header.alpha ? SPNG_DECODE_TRNS : 0);
  check(spng_decode_image(context.get(), nullptr, 0, format, flags));
  for_each_row(context.get(), job, sdk::JobErrorCode::kBadInput, [&](std::uint32_t row) {
    return spng_decode_row(context.get(), picture.ptr(static_cast<int>(row)), picture.step[0]);
  });
  check(spng_decode_chunks(context.get()));  // up to the end chunk, so that a missing one is seen
  return picture;
}

void encode(const cv::Mat& picture, sdk::Output& output, const sdk::Job& job) {
  constexpr auto kInternal = sdk::JobErrorCode::kInternal;
  const Context context(spng_ctx_new(SPNG_CTX_ENCODER));
  if (!context) throw std::bad_alloc();
  Sink sink{.output = &output};
  check(spng_set_png_stream(context.get(), write, &sink), kInternal);
  check(spng_set_option(context.get(), SPNG_IMG_COMPRESSION_LEVEL, kCompressionLevel), kInternal);
  spng_ihdr header{};
  header.width = static_cast<std::uint32_t>(picture.cols);
  header.height = static_cast<std::uint32_t>(picture.rows);
  header.bit_depth = 8;
  header.color_type = picture.channels() == 4 ? SPNG_COLOR_TYPE_TRUECOLOR_ALPHA : SPNG_COLOR_TYPE_TRUECOLOR;
  check(spng_set_ihdr(context.get(), &header), kInternal);
  const int begun =
      spng_encode_image(context.get(), nullptr, 0, SPNG_FMT_PNG, SPNG_ENCODE_PROGRESSIVE | SPNG_ENCODE_FINALIZE);
  if (sink.failure) std::rethrow_exception(sink.failure);
  check(begun, kInternal);
  for_each_row(context.get(), job, kInternal, [&](std::uint32_t row) {
    const int status = spng_encode_row(context.get(), picture.ptr(static_cast<int>(row)),
                                       static_cast<std::size_t>(picture.cols) * picture.elemSize());
    if (sink.failure) std::rethrow_exception(sink.failure);
    return status;
  });
}

}  // namespace quern::image::png
