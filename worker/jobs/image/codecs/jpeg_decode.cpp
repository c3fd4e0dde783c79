#include <cstring>
#include <string_view>
#include <vector>

#include "worker/jobs/image/codecs/exif.h"
#include "worker/jobs/image/codecs/formats.h"
#include "worker/jobs/image/codecs/jpeg_error.h"

namespace quern::image::jpeg {
namespace {

// A progressive picture of a few bytes a scan can ask for thousands of passes over all its pixels;
// encoders write about ten scans.
constexpr int kScansMax = 100;
constexpr int kExifMarker = JPEG_APP0 + 1;
constexpr unsigned kMarkerBytesMax = 0xffff;

class Decompressor {
 public:
  explicit Decompressor(const sdk::Job* job) {
    handler_.job = job;
    handler_.install(codec_.err);
    progress_.progress_monitor = on_progress;
    if (!try_create()) fail();
  }
  Decompressor(const Decompressor&) = delete;
  Decompressor& operator=(const Decompressor&) = delete;
  ~Decompressor() { jpeg_destroy_decompress(&codec_); }

  [[nodiscard]] const jpeg_decompress_struct& read_header(Bytes bytes) {
    if (!try_read_header(bytes.data(), bytes.size())) fail();
    return codec_;
  }

  // After read_header: the dimensions that decode() gives.
  [[nodiscard]] cv::Size scale_by(std::uint32_t shrink) {
    codec_.out_color_space = is_cmyk() ? JCS_CMYK : JCS_RGB;
    codec_.scale_num = 1;
    codec_.scale_denom = shrink;
    if (!try_calculate_output()) fail();
    return {static_cast<int>(codec_.output_width), static_cast<int>(codec_.output_height)};
  }

  void decode(cv::Mat& picture) {
    std::vector<JSAMPLE> inks(is_cmyk() ? std::size_t{codec_.output_width} * 4 : 0);
    if (!try_decode(picture.data, picture.step[0], inks.empty() ? nullptr : inks.data())) fail();
  }

 private:
  [[nodiscard]] bool is_cmyk() const {
    return codec_.jpeg_color_space == JCS_CMYK || codec_.jpeg_color_space == JCS_YCCK;
  }
  [[noreturn]] void fail() const { handler_.fail(sdk::JobErrorCode::kBadInput); }

  // Called by libjpeg every few rows of every scan.
  static void on_progress(j_common_ptr common) {
    auto* codec = reinterpret_cast<j_decompress_ptr>(common);
    auto* handler = reinterpret_cast<ErrorHandler*>(common->err);
    if (codec->input_scan_number > kScansMax) {
      std::snprintf(handler->message, sizeof handler->message, "it has more than %d scans", kScansMax);
      longjmp(handler->escape, 1);
    }
    if (handler->cancelled()) longjmp(handler->escape, 1);
  }

  bool try_create() {
    if (setjmp(handler_.escape) != 0) return false;
    jpeg_create_decompress(&codec_);
    codec_.progress = &progress_;
    return true;
  }

  bool try_read_header(const std::byte* data, std::size_t size) {
    if (setjmp(handler_.escape) != 0) return false;
    jpeg_mem_src(&codec_, reinterpret_cast<const unsigned char*>(data), size);
    jpeg_save_markers(&codec_, kExifMarker, kMarkerBytesMax);
    (void)jpeg_read_header(&codec_, TRUE);
    return true;
  }

  bool try_calculate_output() {
    if (setjmp(handler_.escape) != 0) return false;
    jpeg_calc_output_dimensions(&codec_);
    return true;
  }

  bool try_decode(unsigned char* first_row, std::size_t stride, JSAMPLE* inks) {
    if (setjmp(handler_.escape) != 0) return false;
    (void)jpeg_start_decompress(&codec_);
    while (codec_.output_scanline < codec_.output_height) {
      unsigned char* to = first_row + codec_.output_scanline * stride;
      JSAMPROW row = inks != nullptr ? inks : to;
      (void)jpeg_read_scanlines(&codec_, &row, 1);
      if (inks != nullptr) from_cmyk(inks, to);
    }
    (void)jpeg_finish_decompress(&codec_);  // reads up to the end marker, so that a missing one is seen
    return true;
  }

  // Ink on white, without a profile: of each colour, what its ink and the black leave. Files with Adobe's
  // marker store the inks inverted.
  void from_cmyk(const JSAMPLE* inks, unsigned char* rgb) const {
    const unsigned inverted = codec_.saw_Adobe_marker != FALSE ? 0 : 255;
    for (JDIMENSION x = 0; x < codec_.output_width; ++x, inks += 4, rgb += 3) {
      const unsigned white = inks[3] ^ inverted;
      for (int c = 0; c < 3; ++c) rgb[c] = static_cast<unsigned char>(((inks[c] ^ inverted) * white + 127) / 255);
    }
  }

  jpeg_decompress_struct codec_{};
  jpeg_progress_mgr progress_{};
  ErrorHandler handler_{};
};

Bytes exif_of(const jpeg_decompress_struct& codec) {
  constexpr std::string_view kPrefix("Exif\0\0", 6);
  for (const jpeg_marker_struct* marker = codec.marker_list; marker != nullptr; marker = marker->next) {
    const Bytes data(reinterpret_cast<const std::byte*>(marker->data), marker->data_length);
    if (marker->marker == kExifMarker && data.size() > kPrefix.size() &&
        std::memcmp(data.data(), kPrefix.data(), kPrefix.size()) == 0) {
      return data.subspan(kPrefix.size());
    }
  }
  return {};
}

Header header_of(const jpeg_decompress_struct& codec) {
  Header header{.format = Format::kJpeg, .width = codec.image_width, .height = codec.image_height};
  header.orientation = exif_orientation(exif_of(codec));
  header.lossless = false;
  header.progressive = codec.progressive_mode != FALSE;
  if (codec.num_components == 1) header.space = ColorSpace::kGrey;
  if (codec.num_components == 4) header.space = ColorSpace::kCmyk;
  return header;
}

class JpegDecoder final : public Decoder {
 public:
  JpegDecoder(Bytes bytes, const sdk::Job& job) : Decoder({}), decompressor_(&job) {
    header_ = header_of(decompressor_.read_header(bytes));
  }

  [[nodiscard]] Metadata metadata() override { return {}; }

  [[nodiscard]] Frame next(const DecodeOptions& options) override {
    cv::Mat picture(decompressor_.scale_by(options.shrink), CV_8UC3);
    decompressor_.decode(picture);
    return {.picture = picture};
  }

 private:
  Decompressor decompressor_;
};

}  // namespace

std::unique_ptr<Decoder> open(Bytes bytes, FailOn /*fail_on*/, const sdk::Job& job) {
  return std::make_unique<JpegDecoder>(bytes, job);
}

}  // namespace quern::image::jpeg
