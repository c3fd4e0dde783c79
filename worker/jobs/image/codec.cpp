#include "worker/jobs/image/codec.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <opencv2/imgproc.hpp>
#include <string>
#include <string_view>

namespace quern::image {
namespace {

bool has_at(Bytes bytes, std::size_t at, std::string_view magic) {
  return bytes.size() >= at + magic.size() && std::memcmp(bytes.data() + at, magic.data(), magic.size()) == 0;
}

// What else people send, so that the message can say so.
struct OtherFormat {
  std::size_t at;
  std::string_view magic;
  std::string_view name;
};
constexpr auto kOtherFormats = std::to_array<OtherFormat>({{0, "GIF8", "a GIF"},
                                                           {0, "BM", "a BMP"},
                                                           {0, "II*\0", "a TIFF"},
                                                           {0, "MM\0*", "a TIFF"},
                                                           {4, "ftypavif", "an AVIF"},
                                                           {4, "ftyphei", "a HEIC"},
                                                           {0, "%PDF", "a PDF"},
                                                           {0, "<", "an SVG or HTML"}});

[[noreturn]] void refuse_format(Bytes bytes) {
  std::string message = bytes.empty() ? "the input is empty" : "the input is no JPEG, PNG or WebP image";
  const auto other =
      std::ranges::find_if(kOtherFormats, [&](const OtherFormat& each) { return has_at(bytes, each.at, each.magic); });
  if (other != kOtherFormats.end()) message += " (it looks like " + std::string(other->name) + " file)";
  throw sdk::JobError(sdk::JobErrorCode::kBadInput, message);
}

Format format_of(Bytes bytes) {
  if (has_at(bytes, 0, "\xff\xd8\xff")) return Format::kJpeg;
  if (has_at(bytes, 0, "\x89PNG\r\n\x1a\n")) return Format::kPng;
  if (has_at(bytes, 0, "RIFF") && has_at(bytes, 8, "WEBP")) return Format::kWebp;
  refuse_format(bytes);
}

bool opaque(const cv::Mat& picture) {
  for (int y = 0; y < picture.rows; ++y) {
    const auto* row = picture.ptr<cv::Vec4b>(y);
    if (!std::all_of(row, row + picture.cols, [](const cv::Vec4b& pixel) { return pixel[3] == 255; })) return false;
  }
  return true;
}

cv::Mat decode_by_format(Bytes bytes, const Header& header, std::uint32_t shrink, const sdk::Job& job) {
  switch (header.format) {
    case Format::kJpeg: return jpeg::decode(bytes, shrink, job);
    case Format::kPng: return png::decode(bytes, header, job);
    case Format::kWebp: break;
  }
  return webp::decode(bytes, header, job);
}

}  // namespace

Header read_header(Bytes bytes) {
  switch (format_of(bytes)) {
    case Format::kJpeg: return jpeg::read_header(bytes);
    case Format::kPng: return png::read_header(bytes);
    case Format::kWebp: break;
  }
  return webp::read_header(bytes);
}

cv::Mat decode(Bytes bytes, const Header& header, std::uint32_t shrink, const sdk::Job& job) {
  cv::Mat picture = decode_by_format(bytes, header, shrink, job);
  if (picture.channels() != 4 || !opaque(picture)) return picture;
  cv::Mat solid;
  cv::cvtColor(picture, solid, cv::COLOR_RGBA2RGB);
  return solid;
}

void encode(const cv::Mat& picture, Format format, int quality, sdk::Output& output, const sdk::Job& job) {
  switch (format) {
    case Format::kJpeg: return jpeg::encode(picture, quality, output, job);
    case Format::kPng: return png::encode(picture, output, job);
    case Format::kWebp: return webp::encode(picture, quality, output, job);
  }
}

}  // namespace quern::image
