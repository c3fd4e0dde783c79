#include <opencv2/core.hpp>

#include "worker/jobs/image/codecs/formats.h"
#include "worker/jobs/image/codecs/still.h"
#include "worker/jobs/image/codecs/tiff_file.h"
#include "worker/jobs/image/yuv.h"

namespace quern::image::tiff {
namespace {

std::uint16_t compression_of(EncodeOptions::TiffCompression compression) {
  using enum EncodeOptions::TiffCompression;
  switch (compression) {
    case kNone: return COMPRESSION_NONE;
    case kLzw: return COMPRESSION_LZW;
    case kDeflate: return COMPRESSION_ADOBE_DEFLATE;
    case kJpeg: return COMPRESSION_JPEG;
    case kPackbits: break;
  }
  return COMPRESSION_PACKBITS;
}

void describe(TIFF* tiff, const cv::Mat& picture, const EncodeOptions& options) {
  const int channels = picture.channels();
  const bool jpeg = options.tiff_compression == EncodeOptions::TiffCompression::kJpeg;
  TIFFSetField(tiff, TIFFTAG_IMAGEWIDTH, static_cast<std::uint32_t>(picture.cols));
  TIFFSetField(tiff, TIFFTAG_IMAGELENGTH, static_cast<std::uint32_t>(picture.rows));
  TIFFSetField(tiff, TIFFTAG_BITSPERSAMPLE, 8);
  TIFFSetField(tiff, TIFFTAG_SAMPLESPERPIXEL, channels);
  TIFFSetField(tiff, TIFFTAG_PLANARCONFIG, PLANARCONFIG_CONTIG);
  TIFFSetField(tiff, TIFFTAG_ORIENTATION, options.orientation);
  TIFFSetField(tiff, TIFFTAG_COMPRESSION, compression_of(options.tiff_compression));
  const int color = jpeg && channels == 3 ? PHOTOMETRIC_YCBCR : PHOTOMETRIC_RGB;
  TIFFSetField(tiff, TIFFTAG_PHOTOMETRIC, channels == 1 ? PHOTOMETRIC_MINISBLACK : color);
  if (channels == 4) {
    const std::uint16_t straight = EXTRASAMPLE_UNASSALPHA;
    TIFFSetField(tiff, TIFFTAG_EXTRASAMPLES, 1, &straight);
  }
  if (jpeg) {
    TIFFSetField(tiff, TIFFTAG_JPEGQUALITY, options.quality);
    TIFFSetField(tiff, TIFFTAG_JPEGCOLORMODE, JPEGCOLORMODE_RGB);
  }
  using enum EncodeOptions::TiffCompression;
  if (options.tiff_compression == kLzw || options.tiff_compression == kDeflate) {
    TIFFSetField(tiff, TIFFTAG_PREDICTOR, PREDICTOR_HORIZONTAL);
  }
  TIFFSetField(tiff, TIFFTAG_ROWSPERSTRIP, TIFFDefaultStripSize(tiff, 0));
  const MetadataView& metadata = options.metadata;
  if (!metadata.icc.empty())
    TIFFSetField(tiff, TIFFTAG_ICCPROFILE, static_cast<std::uint32_t>(metadata.icc.size()), metadata.icc.data());
  if (!metadata.xmp.empty())
    TIFFSetField(tiff, TIFFTAG_XMLPACKET, static_cast<std::uint32_t>(metadata.xmp.size()), metadata.xmp.data());
}

void write(cv::Mat picture, const EncodeOptions& options, sdk::Output& output, const sdk::Job& job) {
  if (options.grey && picture.channels() == 3) cv::extractChannel(picture, picture, 0);
  TiffFile file;
  describe(file.handle(), picture, options);
  std::vector<std::uint8_t> row(static_cast<std::size_t>(picture.cols) *
                                picture.elemSize());  // a predictor works in place
  for (int y = 0; y < picture.rows; ++y) {
    constexpr int kRowsPerPoll = 64;
    if (y % kRowsPerPoll == 0) job.throw_if_cancelled();
    std::copy_n(picture.ptr(y), row.size(), row.data());
    if (TIFFWriteScanline(file.handle(), row.data(), static_cast<std::uint32_t>(y)) < 0)
      file.fail(sdk::JobErrorCode::kInternal);
  }
  output.write(file.finish());
}

}  // namespace

std::unique_ptr<Encoder> make_encoder(const EncodeOptions& options, const sdk::Job& job) {
  return std::make_unique<StillEncoder>(
      [options, &job](const Picture& picture, sdk::Output& output) { write(to_rgb(picture), options, output, job); });
}

}  // namespace quern::image::tiff
