#include <avif/avif.h>

#include <algorithm>
#include <memory>
#include <new>
#include <string>

#include "worker/jobs/image/codecs/formats.h"
#include "worker/jobs/image/codecs/handle.h"

namespace quern::image::avif {
namespace {

// What AV1's highest level allows a picture: dav1d 1.0 refuses larger ones, which libaom reads.
constexpr std::uint64_t kDav1dPixelsMax = 35'651'584;

using File = Handle<avifDecoder, avifDecoderDestroy>;

void check(avifResult result, const avifDecoder& decoder) {
  if (result == AVIF_RESULT_OK) return;
  if (result == AVIF_RESULT_OUT_OF_MEMORY) throw std::bad_alloc();
  std::string reason = avifResultToString(result);
  if (decoder.diag.error[0] != '\0') reason = decoder.diag.error;
  throw sdk::JobError(sdk::JobErrorCode::kBadInput, "AVIF: " + reason);
}

// Turned anticlockwise first, and then mirrored (MIAF, 7.3.6.7), as one of EXIF's eight.
int orientation_of(const avifImage& image) {
  const int turns = (image.transformFlags & AVIF_TRANSFORM_IROT) != 0 ? image.irot.angle & 3 : 0;
  if ((image.transformFlags & AVIF_TRANSFORM_IMIR) == 0) {
    constexpr int kTurned[] = {1, 8, 3, 6};
    return kTurned[turns];
  }
  constexpr int kUpsideDown[] = {4, 5, 2, 7};
  constexpr int kSideways[] = {2, 7, 4, 5};
  return image.imir.mode == 0 ? kUpsideDown[turns] : kSideways[turns];
}

std::string_view subsampling_of(avifPixelFormat format) {
  switch (format) {
    case AVIF_PIXEL_FORMAT_YUV444: return "4:4:4";
    case AVIF_PIXEL_FORMAT_YUV422: return "4:2:2";
    case AVIF_PIXEL_FORMAT_YUV420: return "4:2:0";
    default: return {};
  }
}

// `pixels_max`: of one coded picture. dav1d decodes no more, whatever the file says of its size.
File open_file(Bytes bytes, FailOn fail_on, std::uint64_t pixels_max, avifCodecChoice codec) {
  File decoder(avifDecoderCreate());
  if (!decoder) throw std::bad_alloc();
  decoder->maxThreads = 1;
  decoder->codecChoice = codec;
  decoder->imageSizeLimit =
      static_cast<std::uint32_t>(std::min<std::uint64_t>(pixels_max, AVIF_DEFAULT_IMAGE_SIZE_LIMIT));
  decoder->imageDimensionLimit = 65'536;
  if (fail_on != FailOn::kWarning) decoder->strictFlags = AVIF_STRICT_DISABLED;
  check(avifDecoderSetIOMemory(decoder.get(), reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()),
        *decoder);
  check(avifDecoderParse(decoder.get()), *decoder);
  return decoder;
}

// What of the coded picture is shown (HEIF's clean aperture).
cv::Rect aperture_of(const avifImage& image) {
  const cv::Rect whole(0, 0, static_cast<int>(image.width), static_cast<int>(image.height));
  if ((image.transformFlags & AVIF_TRANSFORM_CLAP) == 0) return whole;
  avifCropRect crop{};
  avifDiagnostics ignored{};
  if (avifCropRectConvertCleanApertureBox(&crop, &image.clap, image.width, image.height, image.yuvFormat, &ignored) ==
      AVIF_FALSE) {
    return whole;
  }
  return cv::Rect(static_cast<int>(crop.x), static_cast<int>(crop.y), static_cast<int>(crop.width),
                  static_cast<int>(crop.height)) &
         whole;
}

class AvifDecoder final : public Decoder {
 public:
  AvifDecoder(Bytes bytes, FailOn fail_on, const sdk::Job& job)
      : Decoder({}),
        bytes_(bytes),
        fail_on_(fail_on),
        job_(job),
        // the caller judges sizes from the header; libavif has a bound of its own
        decoder_(open_file(bytes, fail_on, AVIF_DEFAULT_IMAGE_SIZE_LIMIT, AVIF_CODEC_CHOICE_AUTO)) {
    const avifImage& image = *decoder_->image;
    const cv::Rect shown = aperture_of(image);
    header_ = {.format = Format::kAvif,
               .width = static_cast<std::uint32_t>(shown.width),
               .height = static_cast<std::uint32_t>(shown.height)};
    header_.orientation = orientation_of(image);  // EXIF's own is to be ignored, says HEIF
    header_.alpha = decoder_->alphaPresent != AVIF_FALSE;
    header_.depth = static_cast<int>(image.depth);
    header_.space = image.yuvFormat == AVIF_PIXEL_FORMAT_YUV400 ? ColorSpace::kGrey : ColorSpace::kRgb;
    header_.lossless = image.matrixCoefficients == AVIF_MATRIX_COEFFICIENTS_IDENTITY;
    header_.chroma_subsampling = subsampling_of(image.yuvFormat);
  }

  [[nodiscard]] Metadata read_metadata() override {
    const auto copy = [](const avifRWData& data) {
      const auto* first = reinterpret_cast<const std::byte*>(data.data);
      return std::vector<std::byte>(first, first + data.size);
    };
    const avifImage& image = *decoder_->image;
    return {.icc = copy(image.icc), .exif = copy(image.exif), .xmp = copy(image.xmp)};
  }

  // Of a sequence, the picture that stands for it. AV1 can't be stopped within a picture.
  [[nodiscard]] Frame next(const DecodeOptions& /*options*/) override {
    job_.throw_if_cancelled();
    // The coded picture may be larger than the file says; the limits and the memory are of what it says. Edges are
    // coded in whole blocks.
    constexpr std::uint64_t kBlock = 64;
    const avifImage& described = *decoder_->image;
    const std::uint64_t pixels_max = (described.width + kBlock) * (described.height + kBlock);
    // libaom tells of damage within a picture, and dav1d makes a picture of nearly anything. But libaom decodes
    // pictures of any size: so dav1d goes first.
    if (pixels_max <= kDav1dPixelsMax) decode_with(AVIF_CODEC_CHOICE_DAV1D, pixels_max);
    if (pixels_max > kDav1dPixelsMax || fail_on_ != FailOn::kNone) decode_with(AVIF_CODEC_CHOICE_AOM, pixels_max);
    const avifImage& image = *decoder_->image;
    cv::Mat picture(static_cast<int>(image.height), static_cast<int>(image.width), header().alpha ? CV_8UC4 : CV_8UC3);
    avifRGBImage target;
    avifRGBImageSetDefaults(&target, &image);
    target.depth = 8;
    target.format = header().alpha ? AVIF_RGB_FORMAT_RGBA : AVIF_RGB_FORMAT_RGB;
    target.chromaUpsampling = AVIF_CHROMA_UPSAMPLING_BEST_QUALITY;
    target.pixels = picture.data;
    target.rowBytes = static_cast<std::uint32_t>(picture.step[0]);
    check(avifImageYUVToRGB(&image, &target), *decoder_);
    const cv::Rect shown = aperture_of(image);
    return {.picture = shown.size() == picture.size() ? picture : picture(shown).clone()};
  }

 private:
  void decode_with(avifCodecChoice codec, std::uint64_t pixels_max) {
    decoder_.reset();  // the memory of one of them is enough
    decoder_ = open_file(bytes_, fail_on_, pixels_max, codec);
    check(avifDecoderNextImage(decoder_.get()), *decoder_);
    job_.throw_if_cancelled();
  }

  Bytes bytes_;
  FailOn fail_on_;
  const sdk::Job& job_;
  File decoder_;
};

}  // namespace

bool is_avif(Bytes bytes) noexcept {
  const avifROData file{.data = reinterpret_cast<const std::uint8_t*>(bytes.data()), .size = bytes.size()};
  return avifPeekCompatibleFileType(&file) == AVIF_TRUE;
}

std::unique_ptr<Decoder> open(Bytes bytes, FailOn fail_on, const sdk::Job& job) {
  return std::make_unique<AvifDecoder>(bytes, fail_on, job);
}

}  // namespace quern::image::avif
