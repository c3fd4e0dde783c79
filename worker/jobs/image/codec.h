// The three codecs behind one shape: header first, pixels only when the header was accepted.
//
//     JPEG   libjpeg-turbo   scaled decoding (1/2, 1/4, 1/8 in the DCT), every warning seen
//     PNG    libspng         strict about CRCs and truncation, small attack surface
//     WebP   libwebp         the format's own; of an animation, its first frame
//
// OpenCV's imgcodecs would hide what these say: it prints warnings and returns grey rows for a
// truncated JPEG. Pixels are cv::Mat, CV_8UC3 in R,G,B order or CV_8UC4 in R,G,B,A, not premultiplied.
//
// Decoders throw sdk::JobError(kBadInput) with the library's own reason, and take no memory for pixels
// in read_header, whatever the header claims. Decoders and encoders poll the job's cancel word every
// few rows, and throw kCancelled. std::bad_alloc is what it says.
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
  std::uint32_t width = 0;  // as stored: `orientation` may turn the picture on its side
  std::uint32_t height = 0;
  int orientation = 1;  // EXIF's, 1 to 8
  bool alpha = false;
};

[[nodiscard]] Header read_header(Bytes bytes);

// `shrink`: 1, 2, 4 or 8. A JPEG comes that many times smaller (rounded up); the others know no shortcut
// and come whole. Alpha that is opaque everywhere is dropped.
[[nodiscard]] cv::Mat decode(Bytes bytes, const Header& header, std::uint32_t shrink, const sdk::Job& job);

// `quality`, 1 to 100, is of JPEG and WebP. A JPEG's picture must have no alpha.
void encode(const cv::Mat& picture, Format format, int quality, sdk::Output& output, const sdk::Job& job);

namespace jpeg {
[[nodiscard]] Header read_header(Bytes bytes);
[[nodiscard]] cv::Mat decode(Bytes bytes, std::uint32_t shrink, const sdk::Job& job);
void encode(const cv::Mat& picture, int quality, sdk::Output& output, const sdk::Job& job);
}  // namespace jpeg

namespace png {
[[nodiscard]] Header read_header(Bytes bytes);
[[nodiscard]] cv::Mat decode(Bytes bytes, const Header& header, const sdk::Job& job);
void encode(const cv::Mat& picture, sdk::Output& output, const sdk::Job& job);
}  // namespace png

namespace webp {
[[nodiscard]] Header read_header(Bytes bytes);
[[nodiscard]] cv::Mat decode(Bytes bytes, const Header& header, const sdk::Job& job);
void encode(const cv::Mat& picture, int quality, sdk::Output& output, const sdk::Job& job);
}  // namespace webp

}  // namespace quern::image
