#include <string_view>
#include <utility>

#include "worker/jobs/image/codecs/exif.h"
#include "worker/jobs/image/codecs/formats.h"
#include "worker/jobs/image/codecs/jpeg_decompressor.h"
#include "worker/jobs/image/color.h"

namespace quern::image::jpeg {
namespace {

std::string_view subsampling_of(const jpeg_decompress_struct& codec) {
  if (codec.jpeg_color_space != JCS_YCbCr || codec.num_components != 3) return {};
  const jpeg_component_info* parts = codec.comp_info;
  const bool alike =
      parts[1].h_samp_factor == parts[2].h_samp_factor && parts[1].v_samp_factor == parts[2].v_samp_factor;
  if (!alike) return "other";
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

// Of all of them, which libjpeg keeps until the last scan.
std::uint64_t coefficient_bytes(const jpeg_decompress_struct& codec) {
  std::uint64_t blocks = 0;
  for (int i = 0; i < codec.num_components; ++i) {
    blocks += std::uint64_t{codec.comp_info[i].width_in_blocks} * codec.comp_info[i].height_in_blocks;
  }
  return blocks * sizeof(JBLOCK);
}

constexpr double kShrinkHeadroom = 1.5;

Header header_of(jpeg_decompress_struct& codec, Bytes exif) {
  Header header{.format = Format::kJpeg, .width = codec.image_width, .height = codec.image_height};
  header.orientation = exif_orientation(exif);
  header.shrink_headroom = kShrinkHeadroom;
  header.lossless = false;
  header.progressive = codec.progressive_mode != FALSE;
  if (jpeg_has_multiple_scans(&codec) != FALSE) header.scratch_bytes = coefficient_bytes(codec);
  header.chroma_subsampling = subsampling_of(codec);
  header.density = density_of(codec);
  if (codec.num_components == 1) header.space = ColorSpace::kGrey;
  if (codec.num_components == 4) header.space = ColorSpace::kCmyk;
  return header;
}

class JpegDecoder final : public Decoder {
 public:
  JpegDecoder(Bytes bytes, FailOn fail_on, const sdk::Job& job) : Decoder({}), decompressor_(fail_on, job) {
    jpeg_decompress_struct& codec = decompressor_.read_header(bytes);
    header_ = header_of(codec, decompressor_.markers().exif());
  }

  [[nodiscard]] Metadata read_metadata() override {
    const auto copy = [](Bytes bytes) { return std::vector<std::byte>(bytes.begin(), bytes.end()); };
    return {.icc = decompressor_.markers().icc(),
            .exif = copy(decompressor_.markers().exif()),
            .xmp = copy(decompressor_.markers().xmp())};
  }

  [[nodiscard]] Frame next(const DecodeOptions& options) override {
    const bool part = !options.region.empty() && worth_cutting(options.region);
    const double shrink = options.shrink;  // the blocks of an edge may reach beyond the picture
    Frame frame{.picture = {}, .whole = {header().width / shrink, header().height / shrink}};
    if (options.yuv_welcome && !part && decompressor_.is_yuv()) {
      frame.picture = decompressor_.decode_yuv(options.shrink);
      return frame;
    }
    cv::Rect region = part ? shrunken(options.region, static_cast<int>(options.shrink)) : cv::Rect();
    const cv::Mat picture = decompressor_.decode(options.shrink, region);
    frame.picture = decompressor_.is_cmyk() ? rgb_of_inks(picture, decompressor_.markers().icc()) : picture;
    frame.offset = region.tl();
    return frame;
  }

 private:
  // The planes as stored are so much cheaper than a region of pixels that a little more around it is no matter.
  [[nodiscard]] bool worth_cutting(const cv::Rect& region) const {
    return 2.0 * region.width * region.height < static_cast<double>(header().pixels());
  }
  static cv::Rect shrunken(const cv::Rect& region, int shrink) {
    const cv::Point first(region.x / shrink, region.y / shrink);
    const cv::Point last((region.br().x + shrink - 1) / shrink, (region.br().y + shrink - 1) / shrink);
    return {first, last};
  }

  Decompressor decompressor_;
};

}  // namespace

std::unique_ptr<Decoder> open(Bytes bytes, FailOn fail_on, const sdk::Job& job) {
  return std::make_unique<JpegDecoder>(bytes, fail_on, job);
}

}  // namespace quern::image::jpeg
