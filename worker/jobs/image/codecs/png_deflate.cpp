#include "worker/jobs/image/codecs/png_deflate.h"

#include <libdeflate.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <new>
#include <string_view>
#include <utility>
#include <vector>

#include "worker/jobs/image/codecs/handle.h"
#include "worker/jobs/image/codecs/png_chunks.h"
#include "worker/jobs/image/codecs/png_filters.h"

namespace quern::image::png {
namespace {

using Compressor = Handle<libdeflate_compressor, libdeflate_free_compressor>;

Compressor compressor_of(int level) {
  Compressor compressor(libdeflate_alloc_compressor(level));
  if (!compressor) throw std::bad_alloc();
  return compressor;
}

// libdeflate's level for one of zlib's. What filters leave of a photo gains little from a longer search; flat graphics,
// which are best left unfiltered, gain much.
int level_for(int level, Filter filter) {
  constexpr std::array<int, 10> kFiltered{0, 1, 1, 1, 1, 1, 1, 6, 8, 10};
  constexpr std::array<int, 10> kUnfiltered{0, 1, 2, 3, 4, 6, 7, 8, 9, 12};
  return (filter == Filter::kNone ? kUnfiltered : kFiltered).at(static_cast<std::size_t>(level));
}

class Filtered {
 public:
  explicit Filtered(const cv::Mat& picture)
      : picture_(picture),
        row_bytes_(picture.cols * picture.channels()),
        zeros_(static_cast<std::size_t>(row_bytes_)) {}

  [[nodiscard]] std::size_t row_size() const { return static_cast<std::size_t>(row_bytes_) + 1; }
  // The row with its filter byte.
  void write_row(int y, Filter filter, std::uint8_t* to) const {
    *to = static_cast<std::uint8_t>(filter);
    const std::uint8_t* above = y == 0 ? zeros_.data() : picture_.ptr(y - 1);
    apply_filter(filter, picture_.ptr(y), above, row_bytes_, picture_.channels(), to + 1);
  }

 private:
  const cv::Mat& picture_;
  int row_bytes_;
  std::vector<std::uint8_t> zeros_;
};

// One filter for all rows: the one that compresses some bands of the picture best, each at the level that it would get.
Filter best_filter(const cv::Mat& picture, const Filtered& filtered, int level) {
  constexpr int kBands = 5;
  constexpr int kBandRows = 4;
  std::vector<std::uint8_t> band(filtered.row_size() * kBandRows);
  std::vector<std::uint8_t> ignored(libdeflate_deflate_compress_bound(nullptr, band.size()));
  const auto cost = [&](Filter filter) {
    const Compressor compressor = compressor_of(level_for(level, filter));
    std::size_t bytes = 0;
    for (int i = 0; i < kBands; ++i) {
      const int first = std::max(0, picture.rows - kBandRows) * i / (kBands - 1);
      const int rows = std::min(kBandRows, picture.rows);
      for (int y = 0; y < rows; ++y) {
        filtered.write_row(first + y, filter, band.data() + filtered.row_size() * static_cast<std::size_t>(y));
      }
      bytes += libdeflate_deflate_compress(compressor.get(), band.data(),
                                           filtered.row_size() * static_cast<std::size_t>(rows), ignored.data(),
                                           ignored.size());
    }
    return bytes;
  };
  return *std::ranges::min_element(kFilters, {}, cost);
}

}  // namespace

bool fits_deflate(const cv::Mat& picture) { return picture.total() * picture.elemSize() <= kDeflateBytesMax; }

void encode_deflate(const cv::Mat& picture, int level, const MetadataView& metadata, sdk::Output& output,
                    const sdk::Job& job) {
  job.throw_if_cancelled();
  const Filtered filtered(picture);
  const Filter filter = level == 0 ? Filter::kNone : best_filter(picture, filtered, level);
  job.throw_if_cancelled();
  cv::Mat rows(picture.rows, static_cast<int>(filtered.row_size()), CV_8UC1);
  for (int y = 0; y < picture.rows; ++y) filtered.write_row(y, filter, rows.ptr(y));
  job.throw_if_cancelled();

  ChunkWriter chunks(output);
  constexpr std::uint8_t kGrey = 0;
  constexpr std::uint8_t kRgb = 2;
  constexpr std::uint8_t kRgba = 6;
  chunks.header({.width = static_cast<std::uint32_t>(picture.cols),
                 .height = static_cast<std::uint32_t>(picture.rows),
                 .depth = 8,
                 .color_type = picture.channels() == 1   ? kGrey
                               : picture.channels() == 4 ? kRgba
                                                         : kRgb});
  chunks.metadata(metadata);
  const Compressor compressor = compressor_of(level_for(level, filter));
  const std::span<std::byte> room =
      chunks.begin("IDAT", libdeflate_zlib_compress_bound(compressor.get(), rows.total()));
  chunks.end(libdeflate_zlib_compress(compressor.get(), rows.data, rows.total(), room.data(), room.size()));
  chunks.finish();
}

}  // namespace quern::image::png
