// zimg's resampler as one object: planes in, planes out, with rows packed and unpacked on the way.
//
// zimg (the "z" library, https://github.com/sekrit-twc/zimg) resamples separably in 16-bit integers with SIMD chosen at
// run time; a kernel is widened by the factor of a reduction, so that it antialiases.
#pragma once

#include <zimg.h>

#include <array>
#include <cstddef>
#include <functional>
#include <memory>
#include <opencv2/core/mat.hpp>

#include "worker/sdk/job.h"

namespace quern::image {

enum class Kernel { kNearest, kLinear, kCubic, kMitchell, kLanczos2, kLanczos3 };

// Part of a picture scaled to a size.
struct Resize {
  cv::Rect2d from;  // in the source's pixels; fractions cut through pixels
  cv::Size to;
  Kernel kernel = Kernel::kLanczos3;
  friend bool operator==(const Resize&, const Resize&) = default;
};

// Making a graph takes longer than running it on a thumbnail (0.8 ms from 681 pixels to 320, 3.1 ms from 2725 to 1200):
// the last few are kept, for chroma's second plane, frames of an animation, and pictures of one size. Not thread-safe.
class ZimgGraph {
 public:
  // 1 plane, or 3 or 4 that are treated alike. `type` in and out: CV_8UC1 or CV_16UC1.
  struct Format {
    int planes = 1;
    int type_in = CV_8UC1;
    int type_out = CV_8UC1;
    // Of a single plane: from JFIF's range of luma to studio range.
    bool to_limited = false;
    friend bool operator==(const Format&, const Format&) = default;
  };
  // Throws JobError(kTooLarge) for ratios that zimg has no filter for.
  ZimgGraph(cv::Size source, const Resize& resize, const Format& format);
  ~ZimgGraph() = default;
  ZimgGraph(const ZimgGraph&) = delete;
  ZimgGraph& operator=(const ZimgGraph&) = delete;

  // Whole planes, aligned as make_plane() does. Throws kCancelled.
  void run(const cv::Mat& from, cv::Mat& to, const sdk::Job& job) const;

  // Rows of another shape: `unpack` fills the columns [left, right) of each plane's row pointer from the source's row,
  // `pack` takes a row of the result. Pointers are to a row's column 0.
  using Rows = std::array<std::byte*, 4>;
  using Unpack = std::function<void(const Rows& to, unsigned row, unsigned left, unsigned right)>;
  using Pack = std::function<void(const Rows& from, unsigned row, unsigned left, unsigned right)>;
  void run(const Unpack& unpack, const Pack& pack, const sdk::Job& job) const;

 private:
  [[nodiscard]] cv::Mat scratch() const;
  [[noreturn]] void fail(const sdk::Job& job) const;

  cv::Size source_;
  cv::Size target_;
  Format format_;
  std::shared_ptr<zimg_filter_graph> graph_;
};

}  // namespace quern::image
