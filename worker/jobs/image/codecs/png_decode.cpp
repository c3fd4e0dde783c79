#include "worker/jobs/image/codecs/exif.h"
#include "worker/jobs/image/codecs/formats.h"
#include "worker/jobs/image/codecs/png_context.h"

namespace quern::image::png {
namespace {

// What is no pixel (text, profiles) may take this much of our memory.
constexpr std::size_t kChunkBytesMax = kMetadataBytesMax;

Context open_context(Bytes bytes, spng_ihdr& header) {
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

Header read_header(Bytes bytes) {
  spng_ihdr header{};
  const Context context = open_context(bytes, header);
  Header read{.format = Format::kPng, .width = header.width, .height = header.height};
  read.alpha = has_alpha(context.get(), header);
  const bool grey =
      header.color_type == SPNG_COLOR_TYPE_GRAYSCALE || header.color_type == SPNG_COLOR_TYPE_GRAYSCALE_ALPHA;
  read.space = grey ? ColorSpace::kGrey : ColorSpace::kRgb;
  const bool palette = header.color_type == SPNG_COLOR_TYPE_INDEXED;
  read.depth = palette ? 8 : header.bit_depth;
  read.palette_bits = palette ? header.bit_depth : 0;
  read.progressive = header.interlace_method != SPNG_INTERLACE_NONE;
  if (spng_exif exif{}; spng_get_exif(context.get(), &exif) == 0) {
    read.orientation = exif_orientation(Bytes(reinterpret_cast<const std::byte*>(exif.data), exif.length));
  }
  constexpr double kMetresPerInch = 0.0254;
  if (spng_phys phys{}; spng_get_phys(context.get(), &phys) == 0 && phys.unit_specifier == 1) {
    read.density = phys.ppu_x * kMetresPerInch;
  }
  return read;
}

class PngDecoder final : public Decoder {
 public:
  PngDecoder(Bytes bytes, const sdk::Job& job) : Decoder(read_header(bytes)), bytes_(bytes), job_(job) {}

  [[nodiscard]] Metadata metadata() override {
    spng_ihdr header{};
    const Context context = open_context(bytes_, header);
    Metadata read;
    const auto keep = [](const void* data, std::size_t size) {
      const auto* bytes = static_cast<const std::byte*>(data);
      return std::vector<std::byte>(bytes, bytes + size);
    };
    if (spng_iccp icc{}; spng_get_iccp(context.get(), &icc) == 0) read.icc = keep(icc.profile, icc.profile_len);
    if (spng_exif exif{}; spng_get_exif(context.get(), &exif) == 0) read.exif = keep(exif.data, exif.length);
    return read;
  }

  // Every kind of PNG becomes 8-bit RGB or RGBA: grey is spread, palettes are looked up, of 16 bits the
  // upper 8 stay.
  [[nodiscard]] Frame next(const DecodeOptions& /*options*/) override {
    spng_ihdr raw{};
    const Context context = open_context(bytes_, raw);
    const bool alpha = header().alpha;
    cv::Mat picture(static_cast<int>(header().height), static_cast<int>(header().width), alpha ? CV_8UC4 : CV_8UC3);
    const int format = alpha ? SPNG_FMT_RGBA8 : SPNG_FMT_RGB8;
    const int flags = SPNG_DECODE_PROGRESSIVE | (alpha ? SPNG_DECODE_TRNS : 0);
    check(spng_decode_image(context.get(), nullptr, 0, format, flags));
    for_each_row(context.get(), job_, sdk::JobErrorCode::kBadInput, [&](std::uint32_t row) {
      return spng_decode_row(context.get(), picture.ptr(static_cast<int>(row)), picture.step[0]);
    });
    check(spng_decode_chunks(context.get()));  // up to the end chunk, so that a missing one is seen
    return {.picture = picture};
  }

 private:
  Bytes bytes_;
  const sdk::Job& job_;
};

}  // namespace

std::unique_ptr<Decoder> open(Bytes bytes, FailOn /*fail_on*/, const sdk::Job& job) {
  return std::make_unique<PngDecoder>(bytes, job);
}

}  // namespace quern::image::png
