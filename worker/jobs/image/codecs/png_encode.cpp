#include <cstdio>
#include <exception>
#include <opencv2/core.hpp>

#include "worker/jobs/image/codecs/formats.h"
#include "worker/jobs/image/codecs/png_context.h"
#include "worker/jobs/image/codecs/png_deflate.h"
#include "worker/jobs/image/codecs/png_palette.h"
#include "worker/jobs/image/codecs/still.h"
#include "worker/jobs/image/yuv.h"

namespace quern::image::png {
namespace {

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

std::uint8_t color_type_of(const cv::Mat& picture) {
  if (picture.channels() == 1) return SPNG_COLOR_TYPE_GRAYSCALE;
  return picture.channels() == 4 ? SPNG_COLOR_TYPE_TRUECOLOR_ALPHA : SPNG_COLOR_TYPE_TRUECOLOR;
}

// libspng keeps pointers, through which it only reads.
char* chars(Bytes bytes) { return reinterpret_cast<char*>(const_cast<std::byte*>(bytes.data())); }

void set_metadata(spng_ctx* context, const MetadataView& metadata) {
  if (!metadata.icc.empty()) {
    spng_iccp icc{};
    std::snprintf(icc.profile_name, sizeof icc.profile_name, "icc");
    icc.profile = chars(metadata.icc);
    icc.profile_len = metadata.icc.size();
    check(spng_set_iccp(context, &icc), sdk::JobErrorCode::kInternal);
  }
  if (!metadata.exif.empty()) {
    spng_exif exif{.length = metadata.exif.size(), .data = chars(metadata.exif)};
    check(spng_set_exif(context, &exif), sdk::JobErrorCode::kInternal);
  }
  if (!metadata.xmp.empty()) {
    static char nothing[] = "";
    spng_text xmp{};
    std::snprintf(xmp.keyword, sizeof xmp.keyword, "XML:com.adobe.xmp");
    xmp.type = SPNG_ITXT;
    xmp.text = chars(metadata.xmp);
    xmp.length = metadata.xmp.size();
    xmp.language_tag = nothing;
    xmp.translated_keyword = nothing;
    check(spng_set_text(context, &xmp, 1), sdk::JobErrorCode::kInternal);
  }
}

void set_palette(spng_ctx* context, const std::vector<Color>& colors) {
  spng_plte palette{};
  spng_trns transparency{};
  bool transparent = false;
  for (const Color& color : colors) {
    palette.entries[palette.n_entries++] = {.red = color.r, .green = color.g, .blue = color.b, .alpha = 0};
    transparency.type3_alpha[transparency.n_type3_entries++] = color.a;
    transparent = transparent || color.a != 255;
  }
  check(spng_set_plte(context, &palette), sdk::JobErrorCode::kInternal);
  if (transparent) check(spng_set_trns(context, &transparency), sdk::JobErrorCode::kInternal);
}

// With colours, `picture` holds indices of them.
void encode(const cv::Mat& picture, const std::vector<Color>& palette, const EncodeOptions& options,
            sdk::Output& output, const sdk::Job& job) {
  constexpr auto kInternal = sdk::JobErrorCode::kInternal;
  const Context context(spng_ctx_new(SPNG_CTX_ENCODER));
  if (!context) throw std::bad_alloc();
  Sink sink{.output = &output};
  check(spng_set_png_stream(context.get(), write, &sink), kInternal);
  check(spng_set_option(context.get(), SPNG_IMG_COMPRESSION_LEVEL, options.compression_level), kInternal);
  spng_ihdr header{};
  header.width = static_cast<std::uint32_t>(picture.cols);
  header.height = static_cast<std::uint32_t>(picture.rows);
  header.bit_depth = 8;
  header.color_type = palette.empty() ? color_type_of(picture) : std::uint8_t{SPNG_COLOR_TYPE_INDEXED};
  if (options.progressive) header.interlace_method = SPNG_INTERLACE_ADAM7;
  check(spng_set_ihdr(context.get(), &header), kInternal);
  if (!palette.empty()) set_palette(context.get(), palette);
  set_metadata(context.get(), options.metadata);
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

void encode_quantised(const cv::Mat& picture, const EncodeOptions& options, sdk::Output& output, const sdk::Job& job) {
  const Quantised quantised = quantise(picture,
                                       {.colors = options.colors,
                                        .quality = options.quality,
                                        .dither = options.dither,
                                        .effort = options.effort.value_or(kQuantiseEffortDefault)},
                                       job);
  if (options.progressive) return encode(quantised.indices, quantised.palette, options, output, job);
  encode_palette(quantised, options, output);
}

}  // namespace

std::unique_ptr<Encoder> make_encoder(const EncodeOptions& options, const sdk::Job& job) {
  return std::make_unique<StillEncoder>([options, &job](const Picture& picture, sdk::Output& output) {
    cv::Mat pixels = to_rgb(picture);
    if (options.palette) return encode_quantised(pixels, options, output, job);
    if (options.grey && pixels.channels() == 3) cv::extractChannel(pixels, pixels, 0);
    if (!options.progressive && fits_deflate(pixels)) {
      encode_deflate(pixels, options.compression_level, options.metadata, output, job);
    } else {
      encode(pixels, {}, options, output, job);
    }
  });
}

}  // namespace quern::image::png
