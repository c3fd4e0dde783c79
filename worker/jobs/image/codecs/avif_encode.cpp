#include <avif/avif.h>

#include <algorithm>
#include <memory>
#include <new>
#include <string>

#include "worker/jobs/image/codecs/formats.h"
#include "worker/jobs/image/codecs/handle.h"
#include "worker/jobs/image/codecs/still.h"
#include "worker/jobs/image/yuv.h"

namespace quern::image::avif {
namespace {

constexpr int kEffortDefault = 4;  // as sharp's
constexpr int kQuantizerMax = 63;

using Encoding = Handle<avifEncoder, avifEncoderDestroy>;
using Image = Handle<avifImage, avifImageDestroy>;

void check(avifResult result) {
  if (result == AVIF_RESULT_OK) return;
  if (result == AVIF_RESULT_OUT_OF_MEMORY) throw std::bad_alloc();
  throw sdk::JobError(sdk::JobErrorCode::kInternal, std::string("AVIF: ") + avifResultToString(result));
}

Image image_of(const cv::Mat& picture, const EncodeOptions& options) {
  const bool full_chroma = options.chroma_full || options.lossless;
  const avifPixelFormat format = options.grey && !options.lossless ? AVIF_PIXEL_FORMAT_YUV400
                                 : full_chroma                     ? AVIF_PIXEL_FORMAT_YUV444
                                                                   : AVIF_PIXEL_FORMAT_YUV420;
  const auto width = static_cast<std::uint32_t>(picture.cols);
  const auto height = static_cast<std::uint32_t>(picture.rows);
  Image image(avifImageCreate(width, height, static_cast<std::uint32_t>(options.bit_depth), format));
  if (!image) throw std::bad_alloc();
  image->colorPrimaries = AVIF_COLOR_PRIMARIES_BT709;
  image->transferCharacteristics = AVIF_TRANSFER_CHARACTERISTICS_SRGB;
  image->matrixCoefficients = options.lossless ? AVIF_MATRIX_COEFFICIENTS_IDENTITY : AVIF_MATRIX_COEFFICIENTS_BT601;
  image->yuvRange = AVIF_RANGE_FULL;
  avifRGBImage source;
  avifRGBImageSetDefaults(&source, image.get());
  source.depth = 8;
  source.format = picture.channels() == 4 ? AVIF_RGB_FORMAT_RGBA : AVIF_RGB_FORMAT_RGB;
  source.pixels = picture.data;
  source.rowBytes = static_cast<std::uint32_t>(picture.step[0]);
  check(avifImageRGBToYUV(image.get(), &source));
  const auto bytes = [](Bytes data) { return reinterpret_cast<const std::uint8_t*>(data.data()); };
  const MetadataView& metadata = options.metadata;
  if (!metadata.icc.empty()) avifImageSetProfileICC(image.get(), bytes(metadata.icc), metadata.icc.size());
  if (!metadata.exif.empty()) avifImageSetMetadataExif(image.get(), bytes(metadata.exif), metadata.exif.size());
  if (!metadata.xmp.empty()) avifImageSetMetadataXMP(image.get(), bytes(metadata.xmp), metadata.xmp.size());
  return image;
}

// Quality 1 to 100 becomes aom's constant quality, 62 to 0, on a straight line, as libheif and libavif have it. Alpha
// is kept as it is.
void set_quality(avifEncoder& encoder, const EncodeOptions& options) {
  const int quantizer = options.lossless ? 0 : ((100 - options.quality) * kQuantizerMax + 50) / 100;
  encoder.minQuantizer = options.lossless ? 0 : std::max(0, quantizer - 8);
  encoder.maxQuantizer = options.lossless ? 0 : std::min(kQuantizerMax, quantizer + 8);
  encoder.minQuantizerAlpha = 0;
  encoder.maxQuantizerAlpha = 0;
  if (options.lossless) return;
  avifEncoderSetCodecSpecificOption(&encoder, "color:end-usage", "q");
  avifEncoderSetCodecSpecificOption(&encoder, "color:cq-level", std::to_string(quantizer).c_str());
}

// AV1 can't be stopped within a picture: a job that takes too long ends with its worker.
void write(const cv::Mat& picture, const EncodeOptions& options, sdk::Output& output, const sdk::Job& job) {
  job.throw_if_cancelled();
  const Image image = image_of(picture, options);
  const Encoding encoder(avifEncoderCreate());
  if (!encoder) throw std::bad_alloc();
  encoder->maxThreads = 1;
  encoder->codecChoice = AVIF_CODEC_CHOICE_AOM;
  encoder->speed = 9 - options.effort.value_or(kEffortDefault);
  set_quality(*encoder, options);
  job.throw_if_cancelled();
  avifRWData made = AVIF_DATA_EMPTY;
  const Handle<avifRWData, avifRWDataFree> owner(&made);
  check(avifEncoderWrite(encoder.get(), image.get(), &made));
  job.throw_if_cancelled();
  output.write(Bytes(reinterpret_cast<const std::byte*>(made.data), made.size));
}

}  // namespace

std::unique_ptr<Encoder> make_encoder(const EncodeOptions& options, const sdk::Job& job) {
  return std::make_unique<StillEncoder>(
      [options, &job](const Picture& picture, sdk::Output& output) { write(to_rgb(picture), options, output, job); });
}

}  // namespace quern::image::avif
