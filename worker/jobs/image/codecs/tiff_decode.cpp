#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <opencv2/core.hpp>
#include <vector>

#include "worker/jobs/image/codecs/formats.h"
#include "worker/jobs/image/codecs/tiff_file.h"
#include "worker/jobs/image/color.h"

namespace quern::image::tiff {
namespace {

enum class Alpha { kNone, kStraight, kPremultiplied };

// What the first directory says.
struct Layout {
  std::uint16_t bits = 1;
  std::uint16_t samples = 1;
  std::uint16_t photometric = PHOTOMETRIC_MINISWHITE;
  std::uint16_t planar = PLANARCONFIG_CONTIG;
  std::uint16_t sample_format = SAMPLEFORMAT_UINT;
  std::uint16_t compression = COMPRESSION_NONE;
  std::uint16_t extra = 0;  // samples that are no colours; of several, the first is alpha
  Alpha alpha = Alpha::kNone;
  bool tiled = false;

  [[nodiscard]] int colors() const { return samples - extra; }
  // Whether its samples can be taken as they are. (libtiff's conversion takes the wrong byte of 16 bits of grey.)
  [[nodiscard]] bool plain() const {
    const bool depth = (bits == 8 || bits == 16) && sample_format == SAMPLEFORMAT_UINT;
    const bool grey = (photometric == PHOTOMETRIC_MINISBLACK || photometric == PHOTOMETRIC_MINISWHITE) && colors() == 1;
    const bool rgb = photometric == PHOTOMETRIC_RGB && colors() == 3;
    const bool inks = photometric == PHOTOMETRIC_SEPARATED && samples == 4 && extra == 0;
    return depth && (grey || rgb || inks) && extra <= 1 && planar == PLANARCONFIG_CONTIG;
  }
};

Layout read_layout(TIFF* tiff) {
  Layout layout;
  TIFFGetFieldDefaulted(tiff, TIFFTAG_BITSPERSAMPLE, &layout.bits);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_SAMPLESPERPIXEL, &layout.samples);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_PLANARCONFIG, &layout.planar);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_SAMPLEFORMAT, &layout.sample_format);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_COMPRESSION, &layout.compression);
  TIFFGetField(tiff, TIFFTAG_PHOTOMETRIC, &layout.photometric);
  layout.tiled = TIFFIsTiled(tiff) != 0;
  std::uint16_t count = 0;
  std::uint16_t* kinds = nullptr;
  TIFFGetFieldDefaulted(tiff, TIFFTAG_EXTRASAMPLES, &count, &kinds);
  if (count >= 1 && count < layout.samples) layout.extra = count;
  if (layout.extra > 0) layout.alpha = kinds[0] == EXTRASAMPLE_ASSOCALPHA ? Alpha::kPremultiplied : Alpha::kStraight;
  return layout;
}

double density_of(TIFF* tiff) {
  constexpr double kCentimetresPerInch = 2.54;
  float density = 0;
  std::uint16_t unit = RESUNIT_INCH;
  if (TIFFGetField(tiff, TIFFTAG_XRESOLUTION, &density) == 0) return 0;
  TIFFGetFieldDefaulted(tiff, TIFFTAG_RESOLUTIONUNIT, &unit);
  if (unit == RESUNIT_NONE) return 0;
  return unit == RESUNIT_CENTIMETER ? density * kCentimetresPerInch : density;
}

ColorSpace space_of(const Layout& layout) {
  switch (layout.photometric) {
    case PHOTOMETRIC_MINISWHITE:
    case PHOTOMETRIC_MINISBLACK: return ColorSpace::kGrey;
    case PHOTOMETRIC_SEPARATED: return ColorSpace::kCmyk;
    default: return ColorSpace::kRgb;
  }
}

class TiffDecoder final : public Decoder {
 public:
  TiffDecoder(Bytes bytes, FailOn fail_on, const sdk::Job& job)
      : Decoder({}), job_(job), fail_on_(fail_on), file_(bytes, fail_on) {
    TIFF* tiff = file_.handle();
    layout_ = read_layout(tiff);
    header_.format = Format::kTiff;
    TIFFGetField(tiff, TIFFTAG_IMAGEWIDTH, &header_.width);
    TIFFGetField(tiff, TIFFTAG_IMAGELENGTH, &header_.height);
    if (header_.width == 0 || header_.height == 0) file_.fail(sdk::JobErrorCode::kBadInput);
    std::uint16_t orientation = 1;
    TIFFGetFieldDefaulted(tiff, TIFFTAG_ORIENTATION, &orientation);
    header_.orientation = orientation >= 1 && orientation <= 8 ? orientation : 1;
    header_.alpha = layout_.alpha != Alpha::kNone;
    header_.space = space_of(layout_);
    const bool palette = layout_.photometric == PHOTOMETRIC_PALETTE;
    header_.depth = palette ? 8 : layout_.bits;
    header_.palette_bits = palette ? layout_.bits : 0;
    header_.lossless = layout_.compression != COMPRESSION_JPEG;
    header_.density = density_of(tiff);
    header_.scratch_bytes = scratch_bytes();
  }

  [[nodiscard]] Metadata read_metadata() override {
    const auto read = [&](std::uint32_t tag) -> std::vector<std::byte> {
      std::uint32_t size = 0;
      const void* data = nullptr;
      if (TIFFGetField(file_.handle(), tag, &size, &data) == 0 || size > kMetadataBytesMax) return {};
      const auto* first = static_cast<const std::byte*>(data);
      return {first, first + size};
    };
    return {.icc = read(TIFFTAG_ICCPROFILE), .exif = {}, .xmp = read(TIFFTAG_XMLPACKET)};
  }

  // The first directory's picture.
  [[nodiscard]] Frame next(const DecodeOptions& /*options*/) override {
    check_blocks();
    file_.expect_pixels();
    cv::Mat picture = layout_.plain() ? read_plain() : read_converted();
    file_.check(sdk::JobErrorCode::kBadInput);
    return {.picture = picture};
  }

 private:
  [[nodiscard]] std::size_t bytes_of(std::uint64_t pixels) const { return pixels * layout_.samples * layout_.bits / 8; }

  // libtiff's buffer: a tile; or, where it converts, a strip (of each plane).
  [[nodiscard]] std::uint64_t block_bytes() const {
    if (!layout_.tiled && layout_.plain()) return 0;
    const std::uint64_t planes = layout_.planar == PLANARCONFIG_SEPARATE ? layout_.samples : 1;
    return planes * (layout_.tiled ? TIFFTileSize64(file_.handle()) : TIFFStripSize64(file_.handle()));
  }

  [[nodiscard]] std::uint64_t scratch_bytes() const {
    constexpr std::uint64_t kConverted = 4;  // bytes a pixel, before they become the picture
    const std::uint64_t stored = layout_.plain() ? layout_.samples : kConverted;
    return header().pixels() * stored + block_bytes();
  }

  // A small picture may lie in one tile of usual size; larger ones say that somebody wants our memory.
  void check_blocks() const {
    constexpr std::uint64_t kUsualBytes = 8U << 20;
    constexpr std::uint64_t kBytesAPixel = 8;
    if (block_bytes() <= std::max(kUsualBytes, kBytesAPixel * header().pixels())) return;
    throw sdk::JobError(sdk::JobErrorCode::kBadInput,
                        fmt::format("TIFF: its {} are larger than the picture", layout_.tiled ? "tiles" : "strips"));
  }

  // As stored, but for the depth.
  void put(const std::byte* from, std::uint8_t* to, std::uint32_t pixels) const {
    const std::size_t samples = std::size_t{pixels} * layout_.samples;
    if (layout_.bits == 8) {
      std::memcpy(to, from, samples);
      return;
    }
    for (std::size_t i = 0; i < samples; ++i) {
      std::uint16_t wide = 0;
      std::memcpy(&wide, from + 2 * i, sizeof wide);
      to[i] = static_cast<std::uint8_t>((wide * 255U + 32'767U) / 65'535U);
    }
  }

  cv::Mat read_plain() {
    cv::Mat stored = cv::Mat::zeros(header().size(), CV_MAKETYPE(CV_8U, layout_.samples));
    if (layout_.tiled) {
      read_tiles(stored);
    } else {
      read_rows(stored);
    }
    file_.check(sdk::JobErrorCode::kBadInput);
    return as_rgb(stored);
  }

  void read_rows(cv::Mat& stored) {
    constexpr std::uint32_t kRowsPerPoll = 64;
    std::vector<std::byte> row(static_cast<std::size_t>(TIFFScanlineSize(file_.handle())));
    if (row.size() != bytes_of(header().width)) file_.fail(sdk::JobErrorCode::kBadInput);
    for (std::uint32_t y = 0; y < header().height; ++y) {
      if (y % kRowsPerPoll == 0) job_.throw_if_cancelled();
      if (TIFFReadScanline(file_.handle(), row.data(), y) < 0) {
        if (fail_on_ != FailOn::kNone) return;
        continue;  // as black as it is
      }
      put(row.data(), stored.ptr(static_cast<int>(y)), header().width);
    }
  }

  void read_tiles(cv::Mat& stored) {
    std::uint32_t width = 0;
    std::uint32_t height = 0;
    TIFFGetField(file_.handle(), TIFFTAG_TILEWIDTH, &width);
    TIFFGetField(file_.handle(), TIFFTAG_TILELENGTH, &height);
    std::vector<std::byte> tile(static_cast<std::size_t>(TIFFTileSize(file_.handle())));
    if (tile.empty() || tile.size() != bytes_of(std::uint64_t{width} * height)) {
      file_.fail(sdk::JobErrorCode::kBadInput);
    }
    for (std::uint32_t top = 0; top < header().height; top += height) {
      for (std::uint32_t left = 0; left < header().width; left += width) {
        job_.throw_if_cancelled();
        if (fail_on_ == FailOn::kNone) std::ranges::fill(tile, std::byte{0});  // of the one before
        if (TIFFReadTile(file_.handle(), tile.data(), left, top, 0, 0) < 0 && fail_on_ != FailOn::kNone) return;
        const std::uint32_t columns = std::min(width, header().width - left);
        for (std::uint32_t y = 0; y < std::min(height, header().height - top); ++y) {
          put(&tile[bytes_of(std::uint64_t{y} * width)], stored.ptr(static_cast<int>(top + y), static_cast<int>(left)),
              columns);
        }
      }
    }
  }

  cv::Mat as_rgb(cv::Mat& stored) {
    if (layout_.photometric == PHOTOMETRIC_SEPARATED) {
      cv::Mat inks;
      cv::bitwise_not(stored, inks);  // TIFF says how much ink there is, ours how much is not
      return rgb_of_inks(inks, read_metadata().icc);
    }
    cv::Mat out = stored;
    if (layout_.photometric == PHOTOMETRIC_MINISWHITE) {  // not its alpha
      cv::bitwise_xor(stored, cv::Scalar(255, 0), stored);
    }
    if (layout_.colors() == 1) {
      const bool alpha = layout_.alpha != Alpha::kNone;
      out = cv::Mat(header().size(), alpha ? CV_8UC4 : CV_8UC3);
      const std::vector<int> from_to = alpha ? std::vector{0, 0, 0, 1, 0, 2, 1, 3} : std::vector{0, 0, 0, 1, 0, 2};
      cv::mixChannels(&stored, 1, &out, 1, from_to.data(), from_to.size() / 2);
    }
    if (layout_.alpha == Alpha::kPremultiplied) unpremultiply(out);
    return out;
  }

  // Everything else (palettes, 1 to 4 bits, YCbCr, Lab, planes, ...) is converted by libtiff, to 8 bits with
  // alpha premultiplied.
  cv::Mat read_converted() {
    TIFF* tiff = file_.handle();
    TIFFSetField(tiff, TIFFTAG_ORIENTATION, ORIENTATION_TOPLEFT);  // as stored: turning it upright is not its business
    cv::Mat raster = cv::Mat::zeros(header().size(), CV_8UC4);
    job_.throw_if_cancelled();
    auto* pixels = reinterpret_cast<std::uint32_t*>(raster.data);
    const int stop = fail_on_ == FailOn::kNone ? 0 : 1;
    if (TIFFReadRGBAImageOriented(tiff, header().width, header().height, pixels, ORIENTATION_TOPLEFT, stop) == 0 &&
        fail_on_ != FailOn::kNone) {
      file_.fail(sdk::JobErrorCode::kBadInput);
    }
    job_.throw_if_cancelled();
    if (!header().alpha) {
      cv::Mat rgb(header().size(), CV_8UC3);
      constexpr int kFromTo[] = {0, 0, 1, 1, 2, 2};
      cv::mixChannels(&raster, 1, &rgb, 1, kFromTo, 3);
      return rgb;
    }
    if (layout_.photometric == PHOTOMETRIC_RGB) unpremultiply(raster);  // of other layouts libtiff leaves colours alone
    return raster;
  }

  static void unpremultiply(cv::Mat& picture) {
    picture.forEach<cv::Vec4b>([](cv::Vec4b& pixel, const int* /*at*/) {
      const int alpha = pixel[3];
      for (int c = 0; c < 3; ++c) {
        pixel[c] = alpha == 0 ? 0 : static_cast<std::uint8_t>(std::min((pixel[c] * 255 + alpha / 2) / alpha, 255));
      }
    });
  }

  const sdk::Job& job_;
  FailOn fail_on_;
  TiffFile file_;
  Layout layout_;
};

}  // namespace

std::unique_ptr<Decoder> open(Bytes bytes, FailOn fail_on, const sdk::Job& job) {
  return std::make_unique<TiffDecoder>(bytes, fail_on, job);
}

}  // namespace quern::image::tiff
