// libjpeg-turbo's decompressor as an object: its header, its pixels as RGB, or its planes as they are stored.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "worker/jobs/image/codec.h"
#include "worker/jobs/image/codecs/jpeg_error.h"
#include "worker/jobs/image/codecs/jpeg_markers.h"

namespace quern::image::jpeg {

class Decompressor {
 public:
  Decompressor(FailOn fail_on, const sdk::Job& job);
  Decompressor(const Decompressor&) = delete;
  Decompressor& operator=(const Decompressor&) = delete;
  ~Decompressor() { jpeg_destroy_decompress(&codec_); }

  // Once, before anything else. Keeps pointers into `bytes`.
  [[nodiscard]] jpeg_decompress_struct& read_header(Bytes bytes);

  // After read_header.
  [[nodiscard]] const Markers& markers() const { return markers_; }
  [[nodiscard]] bool is_cmyk() const;
  // Whether luma and chroma are stored as YuvPicture has them.
  [[nodiscard]] bool is_yuv() const;

  // Either of these, once. `shrink` is 1, 2, 4 or 8.
  // `region` in shrunken pixels, empty for all; it may grow, and comes back as what the picture holds.
  // CMYK comes as inks, in 4 channels, 255 for none.
  [[nodiscard]] cv::Mat decode(std::uint32_t shrink, cv::Rect& region);
  [[nodiscard]] YuvPicture decode_yuv(std::uint32_t shrink);

 private:
  [[noreturn]] void fail() const { handler_.fail(sdk::JobErrorCode::kBadInput); }
  // Whether what was decoded so far is good enough.
  [[nodiscard]] bool partial_is_welcome() const;
  static void on_progress(j_common_ptr common);

  // What must hold nothing with a destructor: libjpeg's errors leave it by longjmp. False after one.
  bool try_create();
  bool try_read_header(const std::byte* data, std::size_t size);
  bool try_start(std::uint32_t shrink, J_COLOR_SPACE space, bool raw);
  bool try_crop(JDIMENSION* left, JDIMENSION* width, JDIMENSION top);
  bool try_read_rows(unsigned char* first_row, std::size_t stride, JDIMENSION end, JSAMPROW scratch);
  bool try_read_planes(const std::array<cv::Mat, 3>& planes, JSAMPROW* rows);

  jpeg_decompress_struct codec_{};
  jpeg_progress_mgr progress_{};
  ErrorHandler handler_{};
  Markers markers_{};
};

}  // namespace quern::image::jpeg
