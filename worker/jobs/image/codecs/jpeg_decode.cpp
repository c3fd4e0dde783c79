#include <string_view>
#include <utility>

#include "worker/jobs/image/codecs/exif.h"
#include "worker/jobs/image/codecs/formats.h"
#include "worker/jobs/image/codecs/jpeg_decompressor.h"
#include "worker/jobs/image/color.h"

namespace quern::image::jpeg {
namespace {

std::string_view subsampling_of(const jpeg_decompress_struct& codec) {
  if (codec.num_components != 3) return {};
  const jpeg_component_info* parts = codec.comp_info;
  const std::pair ratio(parts[0].h_samp_factor / std::max(1, parts[1].h_samp_factor),
                        parts[0].v_samp_factor / std::max(1, parts[1].v_samp_factor));
  if (ratio == std::pair(1, 1)) return "4:4:4";
  if (ratio == std::pair(2, 1)) return "4:2:2";
  if (ratio == std::pair(2, 2)) return "4:2:0";
  if (ratio == std::pair(1, 2)) return "4:4:0";
  if (ratio == std::pair(4, 1)) return "4:1:1";
  return "other";
}

double density_of(const jpeg_decompress_struct& codec) {
  constexpr double kCentimetresPerInch = 2.54;
  if (codec.saw_JFIF_marker == FALSE) return 0;
  if (codec.density_unit == 1) return codec.X_density;
  return codec.density_unit == 2 ? codec.X_density * kCentimetresPerInch : 0;
}

Header header_of(const jpeg_decompress_struct& codec, Bytes exif) {
  Header header{.format = Format::kJpeg, .width = codec.image_width, .height = codec.image_height};
  header.orientation = exif_orientation(exif);
  header.lossless = false;
  header.progressive = codec.progressive_mode != FALSE;
  header.chroma_subsampling = subsampling_of(codec);
  header.density = density_of(codec);
  if (codec.num_components == 1) header.space = ColorSpace::kGrey;
  if (codec.num_components == 4) header.space = ColorSpace::kCmyk;
  return header;
}

class JpegDecoder final : public Decoder {
 public:
  JpegDecoder(Bytes bytes, FailOn fail_on, const sdk::Job& job)
      : Decoder({}), bytes_(bytes), decompressor_(fail_on, job) {
    const jpeg_decompress_struct& codec = decompressor_.read_header(bytes);
    header_ = header_of(codec, decompressor_.exif());
  }

  [[nodiscard]] Metadata metadata() override {
    const auto copy = [](Bytes bytes) { return std::vector<std::byte>(bytes.begin(), bytes.end()); };
    return {.icc = decompressor_.icc(), .exif = copy(decompressor_.exif()), .xmp = copy(decompressor_.xmp())};
  }

  [[nodiscard]] Frame next(const DecodeOptions& options) override {
    const bool part = !options.region.empty() && worth_cutting(options.region);
    if (options.yuv_welcome && !part && decompressor_.is_yuv())
      return {.picture = decompressor_.decode_yuv(options.shrink)};
    cv::Rect region = part ? shrunken(options.region, static_cast<int>(options.shrink)) : cv::Rect();
    if (!decompressor_.is_cmyk()) {
      return {.picture = decompressor_.decode(options.shrink, region), .delay_ms = 0, .offset = region.tl()};
    }
    const std::vector<std::byte> icc = decompressor_.icc();  // libjpeg forgets markers with the last row
    const cv::Mat picture = rgb_of_inks(decompressor_.decode(options.shrink, region), icc);
    return {.picture = picture, .delay_ms = 0, .offset = region.tl()};
  }

 private:
  // The planes as stored are so much cheaper than a region of pixels that a little more around it is no matter.
  [[nodiscard]] bool worth_cutting(const cv::Rect& region) const {
    return 2.0 * region.width * region.height < static_cast<double>(header().width) * header().height;
  }
  static cv::Rect shrunken(const cv::Rect& region, int shrink) {
    const cv::Point first(region.x / shrink, region.y / shrink);
    const cv::Point last((region.br().x + shrink - 1) / shrink, (region.br().y + shrink - 1) / shrink);
    return {first, last};
  }

  Bytes bytes_;
  Decompressor decompressor_;
};

}  // namespace

std::unique_ptr<Decoder> open(Bytes bytes, FailOn fail_on, const sdk::Job& job) {
  return std::make_unique<JpegDecoder>(bytes, fail_on, job);
}

}  // namespace quern::image::jpeg
