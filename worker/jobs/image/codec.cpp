#include "worker/jobs/image/codec.h"

#include <cstdio>

#include <jpeglib.h>
#include <webp/encode.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string>
#include <string_view>

#include "worker/jobs/image/codecs/exif.h"
#include "worker/jobs/image/codecs/formats.h"

namespace quern::image {
namespace {

using std::string_view_literals::operator""sv;

bool has_at(Bytes bytes, std::size_t at, std::string_view magic) {
  return bytes.size() >= at + magic.size() && std::memcmp(bytes.data() + at, magic.data(), magic.size()) == 0;
}

// What else people send, so that the message can say so.
struct OtherFormat {
  std::size_t at;
  std::string_view magic;
  std::string_view name;
};
constexpr auto kOtherFormats = std::to_array<OtherFormat>({{4, "ftyphei", "a HEIC"},
                                                           {4, "ftypmif1", "a HEIC"},
                                                           {4, "JXL ", "a JPEG XL"},
                                                           {0, "\xff\x0a", "a JPEG XL"},
                                                           {4, "jP  ", "a JPEG 2000"},
                                                           {0, "8BPS", "a Photoshop"},
                                                           {0, "%PDF", "a PDF"},
                                                           {0, "<", "an SVG or HTML"}});

[[noreturn]] void refuse_format(Bytes bytes) {
  std::string message = bytes.empty()
                            ? "the input is empty"
                            : "the input is no picture that is read here: JPEG, PNG, WebP, GIF, TIFF, AVIF or BMP";
  const auto other =
      std::ranges::find_if(kOtherFormats, [&](const OtherFormat& each) { return has_at(bytes, each.at, each.magic); });
  if (other != kOtherFormats.end()) message += " (it looks like " + std::string(other->name) + " file)";
  throw sdk::JobError(sdk::JobErrorCode::kBadInput, message);
}

Format format_of(Bytes bytes) {
  if (has_at(bytes, 0, "\xff\xd8\xff")) return Format::kJpeg;
  if (has_at(bytes, 0, "\x89PNG\r\n\x1a\n")) return Format::kPng;
  if (has_at(bytes, 0, "RIFF") && has_at(bytes, 8, "WEBP")) return Format::kWebp;
  for (const std::string_view magic : {"II*\0"sv, "MM\0*"sv, "II+\0"sv, "MM\0+"sv}) {  // the latter: BigTIFF
    if (has_at(bytes, 0, magic)) return Format::kTiff;
  }
  if (has_at(bytes, 4, "ftyp") && avif::is_avif(bytes)) return Format::kAvif;
  if (has_at(bytes, 0, "GIF87a") || has_at(bytes, 0, "GIF89a")) return Format::kGif;
  if (has_at(bytes, 0, "BM")) return Format::kBmp;
  refuse_format(bytes);
}

}  // namespace

Metadata Decoder::metadata() {
  Metadata read = read_metadata();
  const Bytes exif = tiff_of_exif(read.exif);
  read.exif.erase(read.exif.begin(), read.exif.end() - static_cast<std::ptrdiff_t>(exif.size()));
  for (std::vector<std::byte>* each : {&read.icc, &read.exif, &read.xmp}) {
    if (each->size() > kMetadataBytesMax) each->clear();
  }
  return read;
}

std::string_view name_of(Format format) {
  switch (format) {
    case Format::kJpeg: return "jpeg";
    case Format::kPng: return "png";
    case Format::kWebp: return "webp";
    case Format::kGif: return "gif";
    case Format::kTiff: return "tiff";
    case Format::kAvif: return "avif";
    case Format::kPlaceholder: return "placeholder";
    case Format::kBmp: break;
  }
  return "bmp";
}

std::unique_ptr<Decoder> open_decoder(Bytes bytes, FailOn fail_on, const sdk::Job& job) {
  switch (format_of(bytes)) {
    case Format::kJpeg: return jpeg::open(bytes, fail_on, job);
    case Format::kPng: return png::open(bytes, fail_on, job);
    case Format::kWebp: return webp::open(bytes, fail_on, job);
    case Format::kGif: return gif::open(bytes, fail_on, job);
    case Format::kTiff: return tiff::open(bytes, fail_on, job);
    case Format::kAvif: return avif::open(bytes, fail_on, job);
    case Format::kBmp: return bmp::open(bytes, fail_on, job);
    default: refuse_format(bytes);
  }
}

std::optional<YuvLayout> preferred_layout(const EncodeOptions& options) {
  const int shift = options.chroma_full ? 0 : 1;
  if (options.format == Format::kJpeg && !options.grey) return YuvLayout{YuvPicture::Range::kFull, shift, shift};
  const bool lossy_webp = options.format == Format::kWebp && !options.lossless && !options.near_lossless;
  if (lossy_webp && options.frames == 1 && !options.smart_subsample)
    return YuvLayout{YuvPicture::Range::kLimited, 1, 1};
  return {};
}

std::uint32_t side_max_of(Format format) {
  switch (format) {
    case Format::kJpeg: return JPEG_MAX_DIMENSION;
    case Format::kWebp: return WEBP_MAX_DIMENSION;
    case Format::kGif: return 0xffff;     // 16 bits (GIF89a, 18)
    case Format::kAvif: return 0x1'0000;  // AV1's frame_width_minus_1 has 16 bits (AV1 specification, 5.5.1)
    default: return 0x7fff'ffff;          // PNG: 31 bits (its specification, 5.3); cv::Mat's too
  }
}

std::unique_ptr<Encoder> make_encoder(const EncodeOptions& options, const sdk::Job& job) {
  switch (options.format) {
    case Format::kJpeg: return jpeg::make_encoder(options, job);
    case Format::kPng: return png::make_encoder(options, job);
    case Format::kWebp: return webp::make_encoder(options, job);
    case Format::kGif: return gif::make_encoder(options, job);
    case Format::kTiff: return tiff::make_encoder(options, job);
    case Format::kAvif: return avif::make_encoder(options, job);
    default: break;
  }
  throw sdk::JobError(sdk::JobErrorCode::kInvalidArgument, "no BMP is written; JPEG, PNG, WebP, GIF, TIFF and AVIF are",
                      "format");
}

}  // namespace quern::image
