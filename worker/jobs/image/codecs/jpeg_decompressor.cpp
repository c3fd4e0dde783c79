#include "worker/jobs/image/codecs/jpeg_decompressor.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <opencv2/core.hpp>
#include <string_view>

namespace quern::image::jpeg {
namespace {

// A progressive picture of a few bytes a scan can ask for thousands of passes over all its pixels;
// encoders write about ten scans.
constexpr int kScansMax = 100;

// After jpeg_start_decompress. libjpeg may scale chroma less than luma, so that it comes less subsampled than it is
// stored.
int shift_between(int luma_size, int chroma_size) { return luma_size == chroma_size ? 0 : 1; }

}  // namespace

Decompressor::Decompressor(FailOn fail_on, const sdk::Job& job) {
  handler_.job = &job;
  handler_.fail_on = fail_on;
  handler_.install(codec_.err);
  progress_.progress_monitor = on_progress;
  if (!try_create()) fail();
}

jpeg_decompress_struct& Decompressor::read_header(Bytes bytes) {
  if (!try_read_header(bytes.data(), bytes.size())) fail();
  return codec_;
}

bool Decompressor::is_cmyk() const {
  return codec_.jpeg_color_space == JCS_CMYK || codec_.jpeg_color_space == JCS_YCCK;
}

bool Decompressor::is_yuv() const {
  if (codec_.jpeg_color_space != JCS_YCbCr || codec_.num_components != 3) return false;
  const jpeg_component_info* parts = codec_.comp_info;
  const auto factors = [&](int i) { return cv::Size(parts[i].h_samp_factor, parts[i].v_samp_factor); };
  return factors(0).width <= 2 && factors(0).height <= 2 && factors(1) == cv::Size(1, 1) &&
         factors(2) == cv::Size(1, 1);
}

cv::Mat Decompressor::decode(std::uint32_t shrink, cv::Rect& region) {
  if (!try_start(shrink, is_cmyk() ? JCS_CMYK : JCS_RGB, false)) fail();
  const cv::Rect whole(0, 0, static_cast<int>(codec_.output_width), static_cast<int>(codec_.output_height));
  region = region.empty() ? whole : (region & whole);
  auto left = static_cast<JDIMENSION>(region.x);
  auto width = static_cast<JDIMENSION>(region.width);
  if (region != whole) {
    if (!try_crop(&left, &width, static_cast<JDIMENSION>(region.y))) fail();
    region.x = static_cast<int>(left);
    region.width = static_cast<int>(width);
  }
  cv::Mat picture(region.size(), is_cmyk() ? CV_8UC4 : CV_8UC3);
  if (handler_.fail_on == FailOn::kNone) picture.setTo(cv::Scalar::all(is_cmyk() ? 255 : 0));
  const auto end = static_cast<JDIMENSION>(region.y + region.height);
  std::vector<JSAMPLE> scratch(picture.step[0]);
  if (!try_read_rows(picture.data, picture.step[0], end, scratch.data()) && !partial_is_welcome()) fail();
  if (is_cmyk() && codec_.saw_Adobe_marker == FALSE) cv::bitwise_not(picture, picture);  // Adobe stores inks inverted
  return picture;
}

YuvPicture Decompressor::decode_yuv(std::uint32_t shrink) {
  if (!try_start(shrink, JCS_YCbCr, true)) fail();
  YuvPicture picture;
  std::array<cv::Mat, 3> padded;  // whole blocks, as libjpeg writes them
  int rows_max = 0;
  for (std::size_t i = 0; i < padded.size(); ++i) {
    const jpeg_component_info& part = codec_.comp_info[i];
    const int rows = part.v_samp_factor * part.DCT_scaled_size;
    rows_max += rows;
    padded[i] = make_plane({static_cast<int>(part.width_in_blocks) * part.DCT_scaled_size,
                            static_cast<int>(codec_.total_iMCU_rows) * rows});
    if (handler_.fail_on == FailOn::kNone) padded[i].setTo(cv::Scalar(i == 0 ? 0 : 128));
    picture.planes[i] =
        padded[i](cv::Rect(0, 0, static_cast<int>(part.downsampled_width), static_cast<int>(part.downsampled_height)));
  }
  const jpeg_component_info* parts = codec_.comp_info;
  picture.shift_x = shift_between(parts[0].h_samp_factor * parts[0].DCT_scaled_size,
                                  parts[1].h_samp_factor * parts[1].DCT_scaled_size);
  picture.shift_y = shift_between(parts[0].v_samp_factor * parts[0].DCT_scaled_size,
                                  parts[1].v_samp_factor * parts[1].DCT_scaled_size);
  std::vector<JSAMPROW> rows(static_cast<std::size_t>(rows_max));
  if (!try_read_planes(padded, rows.data()) && !partial_is_welcome()) fail();
  return picture;
}

// The job's own end and a lack of memory are no damage to live with.
bool Decompressor::partial_is_welcome() const {
  return handler_.fail_on == FailOn::kNone && !handler_.cancelled() &&
         handler_.manager.msg_code != JERR_OUT_OF_MEMORY && codec_.output_scanline > 0;
}

// Called by libjpeg every few rows of every scan.
void Decompressor::on_progress(j_common_ptr common) {
  auto* codec = reinterpret_cast<j_decompress_ptr>(common);
  auto* handler = reinterpret_cast<ErrorHandler*>(common->err);
  if (codec->input_scan_number > kScansMax) {
    std::snprintf(handler->message, sizeof handler->message, "it has more than %d scans", kScansMax);
    longjmp(handler->escape, 1);
  }
  if (handler->cancelled()) longjmp(handler->escape, 1);
}

bool Decompressor::try_create() {
  if (setjmp(handler_.escape) != 0) return false;
  jpeg_create_decompress(&codec_);
  codec_.progress = &progress_;
  return true;
}

bool Decompressor::try_read_header(const std::byte* data, std::size_t size) {
  if (setjmp(handler_.escape) != 0) return false;
  jpeg_mem_src(&codec_, reinterpret_cast<const unsigned char*>(data), size);
  markers_.watch(codec_);
  (void)jpeg_read_header(&codec_, TRUE);
  return true;
}

bool Decompressor::try_start(std::uint32_t shrink, J_COLOR_SPACE space, bool raw) {
  if (setjmp(handler_.escape) != 0) return false;
  codec_.out_color_space = space;
  codec_.raw_data_out = raw ? TRUE : FALSE;
  codec_.scale_num = 1;
  codec_.scale_denom = shrink;
  (void)jpeg_start_decompress(&codec_);
  return true;
}

// Moves `left` to where a block begins.
bool Decompressor::try_crop(JDIMENSION* left, JDIMENSION* width, JDIMENSION top) {
  if (setjmp(handler_.escape) != 0) return false;
  jpeg_crop_scanline(&codec_, left, width);
  if (top > 0) (void)jpeg_skip_scanlines(&codec_, top);
  return true;
}

bool Decompressor::try_read_rows(unsigned char* first_row, std::size_t stride, JDIMENSION end, JSAMPROW scratch) {
  if (setjmp(handler_.escape) != 0) return false;
  for (JSAMPROW row = first_row; codec_.output_scanline < end; row += stride)
    (void)jpeg_read_scanlines(&codec_, &row, 1);
  // Rows that are skipped are still parsed, so that damage in them is seen; but not if the last is among them.
  if (codec_.output_scanline < codec_.output_height) {
    (void)jpeg_skip_scanlines(&codec_, codec_.output_height - codec_.output_scanline - 1);
    (void)jpeg_read_scanlines(&codec_, &scratch, 1);
  }
  (void)jpeg_finish_decompress(&codec_);  // reads up to the end marker, so that a missing one is seen
  return true;
}

bool Decompressor::try_read_planes(const std::array<cv::Mat, 3>& planes, JSAMPROW* rows) {
  if (setjmp(handler_.escape) != 0) return false;
  const auto lines = static_cast<JDIMENSION>(codec_.max_v_samp_factor * codec_.min_DCT_scaled_size);
  for (int block = 0; codec_.output_scanline < codec_.output_height; ++block) {
    JSAMPARRAY parts[3];
    JSAMPROW* next = rows;
    for (std::size_t i = 0; i < planes.size(); ++i) {
      const int count = codec_.comp_info[i].v_samp_factor * codec_.comp_info[i].DCT_scaled_size;
      parts[i] = next;
      for (int row = 0; row < count; ++row) {
        *next++ = planes[i].data + static_cast<std::size_t>(block * count + row) * planes[i].step[0];
      }
    }
    (void)jpeg_read_raw_data(&codec_, parts, lines);
  }
  (void)jpeg_finish_decompress(&codec_);
  return true;
}

}  // namespace quern::image::jpeg
