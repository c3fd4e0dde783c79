#include <algorithm>
#include <array>
#include <exception>
#include <opencv2/core.hpp>
#include <span>
#include <string_view>
#include <vector>

#include "worker/jobs/image/codecs/formats.h"
#include "worker/jobs/image/codecs/jpeg_error.h"
#include "worker/jobs/image/codecs/still.h"
#include "worker/jobs/image/yuv.h"

namespace quern::image::jpeg {
namespace {

// libjpeg writes straight into the result; an exception waits here until libjpeg's frames are left.
struct Destination {
  jpeg_destination_mgr manager{};  // first: libjpeg hands back a pointer to it
  sdk::Output* output = nullptr;
  std::span<std::byte> room{};
  std::size_t room_bytes = 64U << 10;
  std::exception_ptr failure{};

  explicit Destination(sdk::Output& to) : output(&to) {
    manager.init_destination = [](j_compress_ptr codec) { take_room(codec); };
    manager.empty_output_buffer = [](j_compress_ptr codec) -> boolean {
      commit(codec, of(codec).room.size());  // all of it, whatever free_in_buffer says
      take_room(codec);
      return TRUE;
    };
    manager.term_destination = [](j_compress_ptr codec) {
      commit(codec, of(codec).room.size() - of(codec).manager.free_in_buffer);
    };
  }

  static Destination& of(j_compress_ptr codec) { return *reinterpret_cast<Destination*>(codec->dest); }

  static void take_room(j_compress_ptr codec) {
    Destination& self = of(codec);
    try {
      self.room = self.output->prepare(self.room_bytes);
      self.room_bytes = std::min<std::size_t>(self.room_bytes * 2, 1U << 20);
    } catch (...) {
      self.failure = std::current_exception();
    }
    if (self.failure) leave(codec);
    self.manager.next_output_byte = reinterpret_cast<JOCTET*>(self.room.data());
    self.manager.free_in_buffer = self.room.size();
  }

  static void commit(j_compress_ptr codec, std::size_t bytes) {
    try {
      of(codec).output->commit(bytes);
    } catch (...) {
      of(codec).failure = std::current_exception();
    }
    if (of(codec).failure) leave(codec);
  }

  [[noreturn]] static void leave(j_compress_ptr codec) {
    longjmp(reinterpret_cast<ErrorHandler*>(codec->err)->escape, 1);
  }
};

// What libjpeg takes: the file's own layout, for planes that have it already.
bool is_as_stored(const YuvPicture& picture) {
  return picture.range == YuvPicture::Range::kFull && picture.alpha.empty() && picture.shift_x == picture.shift_y;
}

class Compressor {
 public:
  Compressor(sdk::Output& output, const EncodeOptions& options, const sdk::Job& job)
      : destination_(output), options_(options) {
    handler_.job = &job;
    handler_.install(codec_.err);
    if (!try_create()) fail();
  }
  Compressor(const Compressor&) = delete;
  Compressor& operator=(const Compressor&) = delete;
  ~Compressor() { jpeg_destroy_compress(&codec_); }

  void encode(const cv::Mat& picture) {
    cv::Mat source = picture;
    if (options_.grey) cv::extractChannel(picture, source, 0);
    set_up(source.size(), source.channels() == 1 ? JCS_GRAYSCALE : JCS_RGB, options_.chroma_full ? 1 : 2);
    if (!try_encode(source.data, source.step[0])) fail();
  }

  void encode(const YuvPicture& picture) {
    set_up(picture.size(), JCS_YCbCr, 1 << picture.shift_x);
    codec_.raw_data_in = TRUE;
    RawRows rows(picture);
    if (!try_encode_raw(rows)) fail();
  }

 private:
  // A row of blocks at a time. Blocks reach over the edges: the last row and column go on there.
  struct RawRows {
    explicit RawRows(const YuvPicture& from) {
      for (std::size_t i = 0; i < 3; ++i) {
        const int shift = i == 0 ? 0 : from.shift_x;
        const int unit = DCTSIZE << from.shift_x;  // pixels of a row of blocks
        const int wide = (from.size().width + unit - 1) / unit * unit >> shift;
        lines[i] = i == 0 ? unit : DCTSIZE;
        const int rest = wide - from.planes[i].cols;
        if (rest == 0) {
          padded[i] = from.planes[i];
        } else {
          cv::copyMakeBorder(from.planes[i], padded[i], 0, 0, 0, rest, cv::BORDER_REPLICATE);
        }
        rows[i].resize(static_cast<std::size_t>(lines[i]));
      }
    }
    // The component's rows from the block row `block` on.
    JSAMPARRAY at(std::size_t i, int block) {
      for (int line = 0; line < lines[i]; ++line) {
        const int y = std::min(block * lines[i] + line, padded[i].rows - 1);
        rows[i][static_cast<std::size_t>(line)] = padded[i].ptr(y);
      }
      return rows[i].data();
    }
    std::array<cv::Mat, 3> padded{};
    std::array<int, 3> lines{};
    std::array<std::vector<JSAMPROW>, 3> rows{};
  };

  [[noreturn]] void fail() const {
    if (destination_.failure) std::rethrow_exception(destination_.failure);
    handler_.fail(sdk::JobErrorCode::kInternal);
  }

  void set_up(cv::Size size, J_COLOR_SPACE space, int luma_factor) {
    codec_.image_width = static_cast<JDIMENSION>(size.width);
    codec_.image_height = static_cast<JDIMENSION>(size.height);
    codec_.input_components = space == JCS_GRAYSCALE ? 1 : 3;
    codec_.in_color_space = space;
    if (!try_set_up(luma_factor)) fail();
  }

  bool try_create() {
    if (setjmp(handler_.escape) != 0) return false;
    jpeg_create_compress(&codec_);
    codec_.dest = &destination_.manager;
    return true;
  }

  bool try_set_up(int luma_factor) {
    if (setjmp(handler_.escape) != 0) return false;
    jpeg_set_defaults(&codec_);
    jpeg_set_quality(&codec_, options_.quality, TRUE);
    if (codec_.num_components == 3) {
      codec_.comp_info[0].h_samp_factor = luma_factor;
      codec_.comp_info[0].v_samp_factor = luma_factor;
    }
    codec_.optimize_coding = options_.optimise_coding ? TRUE : FALSE;
    if (options_.progressive) jpeg_simple_progression(&codec_);
    return true;
  }

  void write_metadata() {
    constexpr int kApp1 = JPEG_APP0 + 1;
    const auto write = [&](int marker, Bytes data) {
      jpeg_write_marker(&codec_, marker, reinterpret_cast<const JOCTET*>(data.data()),
                        static_cast<unsigned>(data.size()));
    };
    if (!exif_.empty()) write(kApp1, exif_);
    if (!xmp_.empty()) write(kApp1, xmp_);
    const Bytes icc = options_.metadata.icc;
    if (!icc.empty()) {
      jpeg_write_icc_profile(&codec_, reinterpret_cast<const JOCTET*>(icc.data()), static_cast<unsigned>(icc.size()));
    }
  }

  bool try_encode(unsigned char* first_row, std::size_t stride) {
    constexpr JDIMENSION kRowsPerPoll = 64;
    if (setjmp(handler_.escape) != 0) return false;
    jpeg_start_compress(&codec_, TRUE);
    write_metadata();
    while (codec_.next_scanline < codec_.image_height) {
      if (codec_.next_scanline % kRowsPerPoll == 0 && handler_.cancelled()) return false;
      JSAMPROW row = first_row + codec_.next_scanline * stride;
      (void)jpeg_write_scanlines(&codec_, &row, 1);
    }
    jpeg_finish_compress(&codec_);
    return true;
  }

  bool try_encode_raw(RawRows& rows) {
    if (setjmp(handler_.escape) != 0) return false;
    jpeg_start_compress(&codec_, TRUE);
    write_metadata();
    for (int block = 0; codec_.next_scanline < codec_.image_height; ++block) {
      if (handler_.cancelled()) return false;
      JSAMPARRAY parts[] = {rows.at(0, block), rows.at(1, block), rows.at(2, block)};
      (void)jpeg_write_raw_data(&codec_, parts, static_cast<JDIMENSION>(rows.lines[0]));
    }
    jpeg_finish_compress(&codec_);
    return true;
  }

  static_assert(kExifPrefix.size() + kJpegExifBytesMax == kXmpPrefix.size() + kJpegXmpBytesMax);

  // A marker's payload.
  static std::vector<std::byte> marker_data(std::string_view prefix, Bytes data) {
    if (data.empty()) return {};
    const auto head = std::as_bytes(std::span(prefix));
    std::vector<std::byte> marker(head.begin(), head.end());
    marker.insert(marker.end(), data.begin(), data.end());
    return marker;
  }

  jpeg_compress_struct codec_{};
  Destination destination_;
  ErrorHandler handler_{};
  const EncodeOptions& options_;
  std::vector<std::byte> exif_ = marker_data(kExifPrefix, options_.metadata.exif);
  std::vector<std::byte> xmp_ = marker_data(kXmpPrefix, options_.metadata.xmp);
};

void write(const Picture& picture, const EncodeOptions& options, sdk::Output& output, const sdk::Job& job) {
  Compressor compressor(output, options, job);
  const auto* yuv = std::get_if<YuvPicture>(&picture);
  if (yuv != nullptr && is_as_stored(*yuv)) return compressor.encode(*yuv);
  compressor.encode(to_rgb(picture));
}

}  // namespace

std::unique_ptr<Encoder> make_encoder(const EncodeOptions& options, const sdk::Job& job) {
  return std::make_unique<StillEncoder>(
      [options, &job](const Picture& picture, sdk::Output& output) { write(picture, options, output, job); });
}

}  // namespace quern::image::jpeg
