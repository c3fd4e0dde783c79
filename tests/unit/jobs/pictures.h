// Pictures for tests, made here: every kind of file that the image module reads, and broken ones.
#pragma once

#include <cstddef>
#include <cstdint>
#include <opencv2/core.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tests/unit/sdk/fake_job.h"
#include "worker/jobs/image/codec.h"

namespace quern::image {

using File = std::vector<std::byte>;

// Four quarters: red, green / blue, white; none of its eight orientations equals another.
[[nodiscard]] cv::Mat quarters(int width, int height);
// Smooth, so that lossy codecs come close.
[[nodiscard]] cv::Mat gradient(int width, int height);
// The same with alpha `alpha` everywhere.
[[nodiscard]] cv::Mat with_alpha_of(const cv::Mat& picture, int alpha);
// As a camera with this orientation would store it.
[[nodiscard]] cv::Mat stored_as(const cv::Mat& upright, int orientation);

// The module's codecs, in one call.
void encode(const cv::Mat& picture, Format format, int quality, sdk::FakeJob& job);
[[nodiscard]] cv::Mat decode(std::span<const std::byte> file, std::uint32_t shrink, const sdk::Job& job);
[[nodiscard]] Header read_header(std::span<const std::byte> file);

[[nodiscard]] File file_of(const cv::Mat& picture, Format format, int quality = 95);
[[nodiscard]] cv::Mat picture_of(std::span<const std::byte> file);

enum class ByteOrder { kLittle, kBig };
[[nodiscard]] File exif_block(int orientation, ByteOrder order = ByteOrder::kLittle);
[[nodiscard]] File with_exif(const File& file, Format format, const File& exif);
[[nodiscard]] File with_xmp(const File& jpeg, std::string_view packet);

struct JpegOptions {
  bool grey = false;
  bool cmyk = false;  // `picture` has 4 channels: inks
  bool progressive = false;
  bool scans_apart = false;  // one a component
  bool rgb = false;          // stored as such, green and blue halved each way
};
[[nodiscard]] File jpeg_of(const cv::Mat& picture, const JpegOptions& options);

struct PngOptions {
  int color_type = 2;
  int bit_depth = 8;
  bool interlaced = false;
  std::vector<std::uint32_t> palette{};  // 0xrrggbbaa
  std::optional<int> filter{};           // of all rows, 0 to 4; absent: libspng chooses
};
// `rows`: the bytes of all rows as PNG stores them, big-endian samples.
[[nodiscard]] File png_of(int width, int height, const std::vector<std::uint8_t>& rows, const PngOptions& options);
// A header that claims a size, and almost nothing behind it.
[[nodiscard]] File png_claiming(std::uint32_t width, std::uint32_t height);
[[nodiscard]] File jpeg_claiming(std::uint16_t width, std::uint16_t height);
// A chunk's checksum made right again after its bytes were changed.
void fix_png_checksums(File& file);

// Frames one after the other on a canvas, the first at an offset.
[[nodiscard]] File animation_of(cv::Size canvas, const std::vector<cv::Mat>& frames, cv::Point first_at);

// The largest difference of any channel of any pixel; huge when sizes differ.
[[nodiscard]] double difference(const cv::Mat& a, const cv::Mat& b);

}  // namespace quern::image
