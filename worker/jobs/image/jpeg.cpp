#include <setjmp.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>

#include <jpeglib.h>

#include "worker/jobs/image/codec.h"

// libjpeg reports errors by a callback that must not return, and C++ exceptions must not cross its
// frames: so errors longjmp out to functions that hold nothing with a destructor, and those tell
// their callers by a bool.
namespace quern::image::jpeg {
namespace {

struct ErrorHandler {
  jpeg_error_mgr manager;  // first: libjpeg hands back a pointer to it
  jmp_buf escape;
  char message[JMSG_LENGTH_MAX];
};

[[noreturn]] void on_error(j_common_ptr codec) {
  auto* handler = reinterpret_cast<ErrorHandler*>(codec->err);
  codec->err->format_message(codec, handler->message);
  longjmp(handler->escape, 1);
}

// Corrupt data that libjpeg would paper over (a premature end becomes grey rows) is an error: the
// caller gets the first such message.
void on_message(j_common_ptr codec, int level) {
  if (level >= 0) return;  // trace output
  auto* handler = reinterpret_cast<ErrorHandler*>(codec->err);
  if (codec->err->num_warnings++ == 0) codec->err->format_message(codec, handler->message);
}

void install(ErrorHandler& handler, jpeg_error_mgr*& slot) {
  slot = jpeg_std_error(&handler.manager);
  handler.manager.error_exit = on_error;
  handler.manager.emit_message = on_message;
  handler.message[0] = '\0';
}

class Decompressor {
 public:
  Decompressor() {
    install(handler_, codec_.err);
    jpeg_create_decompress(&codec_);
  }
  Decompressor(const Decompressor&) = delete;
  Decompressor& operator=(const Decompressor&) = delete;
  ~Decompressor() { jpeg_destroy_decompress(&codec_); }

  void read_header(Bytes bytes) {
    if (!try_read_header(bytes)) fail();
  }
  // Into `rows`, with the output colour space and scale set before.
  void decode(cv::Mat& picture) {
    if (!try_decode(picture.data, picture.step[0]) || codec_.err->num_warnings > 0) fail();
  }
  [[nodiscard]] jpeg_decompress_struct& codec() { return codec_; }
  // The dimensions that decode() will fill.
  void calculate_output() {
    if (!try_calculate()) fail();
  }

 private:
  [[noreturn]] void fail() {
    throw sdk::JobError(sdk::JobErrorCode::kBadInput, "JPEG: " + std::string(handler_.message));
  }
  bool try_read_header(Bytes bytes) {
    if (setjmp(handler_.escape) != 0) return false;
    jpeg_mem_src(&codec_, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
    jpeg_save_markers(&codec_, JPEG_APP0 + 1, 0xffff);
    return jpeg_read_header(&codec_, TRUE) == JPEG_HEADER_OK;
  }
  bool try_calculate() {
    if (setjmp(handler_.escape) != 0) return false;
    jpeg_calc_output_dimensions(&codec_);
    return true;
  }
  bool try_decode(unsigned char* first_row, std::size_t stride) {
    if (setjmp(handler_.escape) != 0) return false;
    jpeg_start_decompress(&codec_);
    while (codec_.output_scanline < codec_.output_height) {
      JSAMPROW row = first_row + codec_.output_scanline * stride;
      jpeg_read_scanlines(&codec_, &row, 1);
    }
    jpeg_finish_decompress(&codec_);
    return true;
  }

  jpeg_decompress_struct codec_{};
  ErrorHandler handler_{};
};

int orientation_of(const jpeg_decompress_struct& codec) {
  for (const jpeg_marker_struct* marker = codec.marker_list; marker != nullptr; marker = marker->next) {
    const Bytes data(reinterpret_cast<const std::byte*>(marker->data), marker->data_length);
    if (data.size() > 6 && std::memcmp(data.data(), "Exif\0\0", 6) == 0) return exif_orientation(data);
  }
  return 1;
}

// Ink on white, without a profile: each colour is what the ink and the black leave. Adobe's files store
// the inks inverted.
cv::Mat from_cmyk(const cv::Mat& cmyk, bool inverted) {
  cv::Mat rgb(cmyk.rows, cmyk.cols, CV_8UC3);
  for (int y = 0; y < cmyk.rows; ++y) {
    const auto* from = cmyk.ptr<cv::Vec4b>(y);
    auto* to = rgb.ptr<cv::Vec3b>(y);
    for (int x = 0; x < cmyk.cols; ++x) {
      for (int c = 0; c < 3; ++c) {
        const int ink = inverted ? from[x][c] : 255 - from[x][c];
        const int black = inverted ? from[x][3] : 255 - from[x][3];
        to[x][c] = static_cast<unsigned char>((ink * black + 127) / 255);
      }
    }
  }
  return rgb;
}

struct Freed {
  void operator()(unsigned char* memory) const noexcept { std::free(memory); }
};

// Compresses into memory that libjpeg allocates. False: handler has the message.
bool try_encode(jpeg_compress_struct& codec, ErrorHandler& handler, const cv::Mat* picture, int quality,
                unsigned char** out, unsigned long* out_bytes) {
  if (setjmp(handler.escape) != 0) return false;
  jpeg_mem_dest(&codec, out, out_bytes);
  codec.image_width = static_cast<JDIMENSION>(picture->cols);
  codec.image_height = static_cast<JDIMENSION>(picture->rows);
  codec.input_components = 3;
  codec.in_color_space = JCS_RGB;
  jpeg_set_defaults(&codec);
  jpeg_set_quality(&codec, quality, TRUE);
  codec.optimize_coding = TRUE;
  jpeg_start_compress(&codec, TRUE);
  while (codec.next_scanline < codec.image_height) {
    JSAMPROW row = picture->data + codec.next_scanline * picture->step[0];
    jpeg_write_scanlines(&codec, &row, 1);
  }
  jpeg_finish_compress(&codec);
  return true;
}

}  // namespace

Header read_header(Bytes bytes) {
  Decompressor decompressor;
  decompressor.read_header(bytes);
  const auto& codec = decompressor.codec();
  return {.format = Format::kJpeg,
          .width = codec.image_width,
          .height = codec.image_height,
          .orientation = orientation_of(codec),
          .alpha = false};
}

cv::Mat decode(Bytes bytes, std::uint32_t shrink) {
  Decompressor decompressor;
  decompressor.read_header(bytes);
  auto& codec = decompressor.codec();
  const bool cmyk = codec.jpeg_color_space == JCS_CMYK || codec.jpeg_color_space == JCS_YCCK;
  codec.out_color_space = cmyk ? JCS_CMYK : JCS_RGB;
  codec.scale_num = 1;
  codec.scale_denom = shrink;
  decompressor.calculate_output();
  cv::Mat picture(static_cast<int>(codec.output_height), static_cast<int>(codec.output_width), cmyk ? CV_8UC4 : CV_8UC3);
  decompressor.decode(picture);
  return cmyk ? from_cmyk(picture, codec.saw_Adobe_marker != FALSE) : picture;
}

void encode(const cv::Mat& picture, int quality, sdk::Output& output) {
  jpeg_compress_struct codec{};
  ErrorHandler handler{};
  install(handler, codec.err);
  jpeg_create_compress(&codec);
  unsigned char* bytes = nullptr;
  unsigned long count = 0;
  const bool encoded = try_encode(codec, handler, &picture, quality, &bytes, &count);
  jpeg_destroy_compress(&codec);
  const std::unique_ptr<unsigned char, Freed> owned(bytes);
  if (!encoded) throw sdk::JobError(sdk::JobErrorCode::kInternal, "JPEG: " + std::string(handler.message));
  output.write(Bytes(reinterpret_cast<const std::byte*>(bytes), count));
}

}  // namespace quern::image::jpeg
