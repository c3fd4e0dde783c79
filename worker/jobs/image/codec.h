// The three codecs behind one shape: header first, pixels only when the header was accepted.
//
//     JPEG   libjpeg-turbo   scaled decoding (1/2, 1/4, 1/8 in the DCT), every warning seen
//     PNG    libspng         strict about CRCs and truncation, small attack surface
//     WebP   libwebp         the format's own
//
// OpenCV's imgcodecs would hide what these say: it prints warnings and returns grey rows for a
// truncated JPEG. Pixels are cv::Mat, CV_8UC3 in R,G,B order or CV_8UC4 in R,G,B,A, not premultiplied.
//
// All throw sdk::JobError: kBadInput with the decoder's own reason. No pixel is allocated by
// read_header, whatever the header claims.
#pragma once

#include <cstddef>
#include <cstdint>
#include <opencv2/core/mat.hpp>
#include <span>

#include "worker/sdk/job.h"

namespace quern::image {

using Bytes = std::span<const std::byte>;

enum class Format { kJpeg, kPng, kWebp };

struct Header {
  Format format{};
  std::uint32_t width = 0;
  std::uint32_t height = 0;
  int orientation = 1;  // EXIF's, 1 to 8
  bool alpha = false;
};

// By the first bytes; kBadInput when they are of none of the three.
[[nodiscard]] Format sniff(Bytes bytes);

namespace jpeg {
[[nodiscard]] Header read_header(Bytes bytes);
// `shrink`: 1, 2, 4 or 8; the picture comes that many times smaller (rounded up).
[[nodiscard]] cv::Mat decode(Bytes bytes, std::uint32_t shrink);
void encode(const cv::Mat& picture, int quality, sdk::Output& output);  // CV_8UC3
}  // namespace jpeg

namespace png {
[[nodiscard]] Header read_header(Bytes bytes);
[[nodiscard]] cv::Mat decode(Bytes bytes, const Header& header);
void encode(const cv::Mat& picture, sdk::Output& output);
}  // namespace png

namespace webp {
[[nodiscard]] Header read_header(Bytes bytes);
[[nodiscard]] cv::Mat decode(Bytes bytes, const Header& header);
void encode(const cv::Mat& picture, int quality, sdk::Output& output);
}  // namespace webp

// The orientation tag (0x0112) of an EXIF block, with or without its "Exif\0\0" prefix; 1 when there is
// none or the block is malformed. Reads nothing outside `exif`.
[[nodiscard]] int exif_orientation(Bytes exif) noexcept;

}  // namespace quern::image
