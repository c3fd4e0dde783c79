#include "tests/unit/jobs/pictures.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <stdexcept>

#include <jpeglib.h>
#include <spng.h>
#include <webp/mux.h>

#include <opencv2/imgproc.hpp>

#include "worker/jobs/image/alpha.h"
#include "worker/jobs/image/yuv.h"

namespace quern::image {
namespace {

const sdk::Kind& nothing() {
  static const sdk::Kind kind{};
  return kind;
}

void require(bool done, const char* what) {
  if (!done) throw std::logic_error(what);
}

File bytes_of(const void* data, std::size_t size) {
  const auto* first = static_cast<const std::byte*>(data);
  return {first, first + size};
}

std::uint32_t big_endian(const File& file, std::size_t at) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < 4; ++i) value = value << 8 | static_cast<std::uint32_t>(file.at(at + i));
  return value;
}

void put_big_endian(File& file, std::size_t at, std::uint32_t value, std::size_t bytes = 4) {
  for (std::size_t i = 0; i < bytes; ++i) file.at(at + i) = static_cast<std::byte>(value >> (8 * (bytes - 1 - i)));
}

std::uint32_t crc32(std::span<const std::byte> bytes) {
  std::uint32_t crc = ~0U;
  for (const std::byte b : bytes) {
    crc ^= static_cast<std::uint32_t>(b);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0xedb88320U : 0U);
  }
  return ~crc;
}

// Right behind the start of the image.
File with_app1(const File& jpeg, const File& data) {
  File marker = bytes_of("\xff\xe1\0\0", 4);
  put_big_endian(marker, 2, static_cast<std::uint32_t>(data.size() + 2), 2);
  marker.insert(marker.end(), data.begin(), data.end());
  File out = jpeg;
  out.insert(out.begin() + 2, marker.begin(), marker.end());
  return out;
}

}  // namespace

cv::Mat quarters(int width, int height) {
  cv::Mat picture(height, width, CV_8UC3, cv::Scalar(255, 255, 255));
  picture(cv::Rect(0, 0, width / 2, height / 2)).setTo(cv::Scalar(255, 0, 0));
  picture(cv::Rect(width / 2, 0, width - width / 2, height / 2)).setTo(cv::Scalar(0, 255, 0));
  picture(cv::Rect(0, height / 2, width / 2, height - height / 2)).setTo(cv::Scalar(0, 0, 255));
  return picture;
}

cv::Mat gradient(int width, int height) {
  cv::Mat picture(height, width, CV_8UC3);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      picture.at<cv::Vec3b>(y, x) =
          cv::Vec3b(static_cast<std::uint8_t>(255 * x / width), static_cast<std::uint8_t>(255 * y / height), 128);
    }
  }
  return picture;
}

cv::Mat with_alpha_of(const cv::Mat& picture, int alpha) {
  cv::Mat out;
  cv::cvtColor(picture, out, cv::COLOR_RGB2RGBA);
  for (int y = 0; y < out.rows; ++y) {
    for (int x = 0; x < out.cols; ++x) out.at<cv::Vec4b>(y, x)[3] = static_cast<std::uint8_t>(alpha);
  }
  return out;
}

cv::Mat stored_as(const cv::Mat& upright, int orientation) {
  cv::Mat out;
  switch (orientation) {
    case 2: cv::flip(upright, out, 1); return out;
    case 3: cv::flip(upright, out, -1); return out;
    case 4: cv::flip(upright, out, 0); return out;
    case 5: return upright.t();
    case 6: cv::flip(upright.t(), out, 0); return out;
    case 7: cv::flip(upright.t(), out, -1); return out;
    case 8: cv::flip(upright.t(), out, 1); return out;
    default: return upright.clone();
  }
}

void encode(const cv::Mat& picture, Format format, int quality, sdk::FakeJob& job) {
  const auto encoder = make_encoder({.format = format, .quality = quality}, job);
  encoder->add({.picture = picture});
  encoder->finish(job.output({}));
}

cv::Mat decode(std::span<const std::byte> file, std::uint32_t shrink, const sdk::Job& job) {
  return without_opaque_alpha(to_rgb(open_decoder(file, FailOn::kWarning, job)->next({.shrink = shrink}).picture));
}

Header read_header(std::span<const std::byte> file) {
  const sdk::FakeJob job(nothing());
  return open_decoder(file, FailOn::kWarning, job)->header();
}

File file_of(const cv::Mat& picture, Format format, int quality) {
  sdk::FakeJob job(nothing());
  encode(picture, format, quality, job);
  return {job.bytes().begin(), job.bytes().end()};
}

cv::Mat picture_of(std::span<const std::byte> file) {
  const sdk::FakeJob job(nothing());
  return decode(file, 1, job);
}

File exif_block(int orientation, ByteOrder order) {
  File block = bytes_of(order == ByteOrder::kBig ? "Exif\0\0MM\0*" : "Exif\0\0II*\0", 10);
  const auto put = [&](std::uint32_t value, std::size_t bytes) {
    for (std::size_t i = 0; i < bytes; ++i) {
      const std::size_t shift = 8 * (order == ByteOrder::kBig ? bytes - 1 - i : i);
      block.push_back(static_cast<std::byte>(value >> shift));
    }
  };
  put(8, 4);                                         // the first directory
  put(2, 2);                                         // its entries
  put(0x0100, 2), put(4, 2), put(1, 4), put(60, 4);  // image width
  put(0x0112, 2), put(3, 2), put(1, 4), put(static_cast<std::uint32_t>(orientation), 2), put(0, 2);
  put(0, 4);  // no further directory
  return block;
}

File with_xmp(const File& jpeg, std::string_view packet) {
  const std::string data = std::string("http://ns.adobe.com/xap/1.0/\0", 29) + std::string(packet);
  return with_app1(jpeg, bytes_of(data.data(), data.size()));
}

File with_exif(const File& file, Format format, const File& exif) {
  if (format == Format::kJpeg) return with_app1(file, exif);
  File out = file;
  const File tiff(exif.begin() + 6, exif.end());  // both others store it without its prefix
  if (format == Format::kPng) {
    File chunk(8);
    put_big_endian(chunk, 0, static_cast<std::uint32_t>(tiff.size()));
    std::memcpy(chunk.data() + 4, "eXIf", 4);
    chunk.insert(chunk.end(), tiff.begin(), tiff.end());
    chunk.resize(chunk.size() + 4);
    constexpr std::ptrdiff_t kAfterHeader = 8 + 25;
    out.insert(out.begin() + kAfterHeader, chunk.begin(), chunk.end());
    fix_png_checksums(out);
    return out;
  }
  const WebPData data{reinterpret_cast<const std::uint8_t*>(file.data()), file.size()};
  const WebPData chunk{reinterpret_cast<const std::uint8_t*>(tiff.data()), tiff.size()};
  WebPMux* mux = WebPMuxCreate(&data, 1);
  require(mux != nullptr && WebPMuxSetChunk(mux, "EXIF", &chunk, 1) == WEBP_MUX_OK, "no EXIF chunk");
  WebPData assembled{};
  require(WebPMuxAssemble(mux, &assembled) == WEBP_MUX_OK, "no WebP file");
  out = bytes_of(assembled.bytes, assembled.size);
  WebPDataClear(&assembled);
  WebPMuxDelete(mux);
  return out;
}

File jpeg_of(const cv::Mat& picture, const JpegOptions& options) {
  jpeg_compress_struct codec{};
  jpeg_error_mgr errors{};
  codec.err = jpeg_std_error(&errors);
  jpeg_create_compress(&codec);
  unsigned char* memory = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&codec, &memory, &size);
  codec.image_width = static_cast<JDIMENSION>(picture.cols);
  codec.image_height = static_cast<JDIMENSION>(picture.rows);
  codec.input_components = picture.channels();
  codec.in_color_space = options.cmyk ? JCS_CMYK : options.grey ? JCS_GRAYSCALE : JCS_RGB;
  jpeg_set_defaults(&codec);
  jpeg_set_quality(&codec, 98, TRUE);
  if (options.rgb) {
    jpeg_set_colorspace(&codec, JCS_RGB);
    codec.comp_info[0].h_samp_factor = codec.comp_info[0].v_samp_factor = 2;
  }
  if (options.progressive) jpeg_simple_progression(&codec);
  const std::array<jpeg_scan_info, 3> scans{{{1, {0}, 0, 63, 0, 0}, {1, {1}, 0, 63, 0, 0}, {1, {2}, 0, 63, 0, 0}}};
  if (options.scans_apart) {
    codec.scan_info = scans.data();
    codec.num_scans = scans.size();
  }
  jpeg_start_compress(&codec, TRUE);
  while (codec.next_scanline < codec.image_height) {
    auto* row = const_cast<unsigned char*>(picture.ptr(static_cast<int>(codec.next_scanline)));
    jpeg_write_scanlines(&codec, &row, 1);
  }
  jpeg_finish_compress(&codec);
  jpeg_destroy_compress(&codec);
  File file = bytes_of(memory, size);
  std::free(memory);
  return file;
}

File png_of(int width, int height, const std::vector<std::uint8_t>& rows, const PngOptions& options) {
  spng_ctx* context = spng_ctx_new(SPNG_CTX_ENCODER);
  spng_set_option(context, SPNG_ENCODE_TO_BUFFER, 1);
  if (options.filter) spng_set_option(context, SPNG_FILTER_CHOICE, SPNG_FILTER_CHOICE_NONE << *options.filter);
  spng_ihdr header{};
  header.width = static_cast<std::uint32_t>(width);
  header.height = static_cast<std::uint32_t>(height);
  header.bit_depth = static_cast<std::uint8_t>(options.bit_depth);
  header.color_type = static_cast<std::uint8_t>(options.color_type);
  header.interlace_method = options.interlaced ? 1 : 0;
  require(spng_set_ihdr(context, &header) == 0, "bad PNG header");
  if (!options.palette.empty()) {
    spng_plte palette{};
    spng_trns transparency{};
    for (const std::uint32_t color : options.palette) {
      palette.entries[palette.n_entries++] = {.red = static_cast<std::uint8_t>(color >> 24),
                                              .green = static_cast<std::uint8_t>(color >> 16),
                                              .blue = static_cast<std::uint8_t>(color >> 8),
                                              .alpha = 0};
      transparency.type3_alpha[transparency.n_type3_entries++] = static_cast<std::uint8_t>(color);
    }
    require(spng_set_plte(context, &palette) == 0 && spng_set_trns(context, &transparency) == 0, "bad palette");
  }
  require(spng_encode_image(context, rows.data(), rows.size(), SPNG_FMT_RAW, SPNG_ENCODE_FINALIZE) == 0, "no PNG");
  std::size_t size = 0;
  int failure = 0;
  void* memory = spng_get_png_buffer(context, &size, &failure);
  require(failure == 0, "no PNG buffer");
  File file = bytes_of(memory, size);
  std::free(memory);
  spng_ctx_free(context);
  return file;
}

void fix_png_checksums(File& file) {
  for (std::size_t at = 8; at + 12 <= file.size();) {
    const std::size_t length = big_endian(file, at);
    if (at + 12 + length > file.size()) return;
    put_big_endian(file, at + 8 + length, crc32(std::span(file).subspan(at + 4, length + 4)));
    at += 12 + length;
  }
}

File png_claiming(std::uint32_t width, std::uint32_t height) {
  File file = file_of(quarters(8, 8), Format::kPng);
  put_big_endian(file, 16, width);
  put_big_endian(file, 20, height);
  fix_png_checksums(file);
  return file;
}

File jpeg_claiming(std::uint16_t width, std::uint16_t height) {
  File file = file_of(quarters(8, 8), Format::kJpeg);
  for (std::size_t at = 2; at + 9 < file.size(); ++at) {
    if (file[at] != std::byte{0xff} || file[at + 1] != std::byte{0xc0}) continue;
    put_big_endian(file, at + 5, height, 2);
    put_big_endian(file, at + 7, width, 2);
    return file;
  }
  throw std::logic_error("the JPEG has no frame header");
}

File animation_of(cv::Size canvas, const std::vector<cv::Mat>& frames, cv::Point first_at) {
  WebPMux* mux = WebPMuxNew();
  for (std::size_t i = 0; i < frames.size(); ++i) {
    const File still = file_of(frames[i], Format::kWebp, 100);
    WebPMuxFrameInfo frame{};
    frame.bitstream = {reinterpret_cast<const std::uint8_t*>(still.data()), still.size()};
    frame.x_offset = i == 0 ? first_at.x : 0;
    frame.y_offset = i == 0 ? first_at.y : 0;
    frame.duration = 100;
    frame.id = WEBP_CHUNK_ANMF;
    require(WebPMuxPushFrame(mux, &frame, 1) == WEBP_MUX_OK, "no frame");
  }
  const WebPMuxAnimParams params{.bgcolor = 0xffffffff, .loop_count = 0};
  require(WebPMuxSetAnimationParams(mux, &params) == WEBP_MUX_OK, "no animation");
  require(WebPMuxSetCanvasSize(mux, canvas.width, canvas.height) == WEBP_MUX_OK, "no canvas");
  WebPData assembled{};
  require(WebPMuxAssemble(mux, &assembled) == WEBP_MUX_OK, "no WebP file");
  File file = bytes_of(assembled.bytes, assembled.size);
  WebPDataClear(&assembled);
  WebPMuxDelete(mux);
  return file;
}

double difference(const cv::Mat& a, const cv::Mat& b) {
  if (a.size() != b.size() || a.type() != b.type()) return 1e9;
  return cv::norm(a, b, cv::NORM_INF);
}

}  // namespace quern::image
