#include "worker/jobs/image/resample.h"

#include <algorithm>
#include <cmath>
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>

#include "worker/jobs/image/pixel_rows.h"
#include "worker/jobs/image/yuv.h"

namespace quern::image {
namespace {

// A kernel over more source pixels than this a side costs more than it shows; what is reduced further is
// averaged first, to where this much is left to the kernel.
constexpr double kReductionMax = 24;
constexpr double kReductionLeft = 8;

int averaging_factor(double source, int target) {
  const double reduction = source / target;
  return reduction < kReductionMax ? 1 : static_cast<int>(reduction / kReductionLeft);
}

struct Averaged {
  cv::Mat picture;
  Resize resize;
};

// Blocks of whole pixels, on both sides as they need it. Pixels that fill no whole block keep their weight, because the
// averaging (like everything here) is of areas.
Averaged average_first(const cv::Mat& picture, const Resize& resize) {
  const int across = averaging_factor(resize.from.width, resize.to.width);
  const int down = averaging_factor(resize.from.height, resize.to.height);
  if (resize.kernel == Kernel::kNearest || (across == 1 && down == 1)) return {picture, resize};
  Averaged out{{}, resize};
  const cv::Size smaller((picture.cols + across - 1) / across, (picture.rows + down - 1) / down);
  cv::resize(picture, out.picture, smaller, 0, 0, cv::INTER_AREA);
  const double x = static_cast<double>(smaller.width) / picture.cols;
  const double y = static_cast<double>(smaller.height) / picture.rows;
  out.resize.from = {resize.from.x * x, resize.from.y * y, resize.from.width * x, resize.from.height * y};
  return out;
}

cv::Mat aligned(const cv::Mat& plane) {
  const bool is_aligned = reinterpret_cast<std::uintptr_t>(plane.data) % 64 == 0 && plane.step[0] % 64 == 0;
  if (is_aligned) return plane;
  cv::Mat copy = make_plane(plane.size(), plane.type());
  plane.copyTo(copy);
  return copy;
}

cv::Mat resample_plane(const cv::Mat& plane, const Resize& resize, const ZimgGraph::Format& format,
                       const sdk::Job& job) {
  const Averaged source = average_first(plane, resize);
  cv::Mat out = make_plane(resize.to, format.type_out);
  ZimgGraph(source.picture.size(), source.resize, format).run(aligned(source.picture), out, job);
  return out;
}

int subsampled(int pixels, int shift) { return (pixels + (1 << shift) - 1) >> shift; }

// The same resize, for chroma: its samples stand for blocks of pixels, also of the result, whose last block may
// reach over the edge.
Resize for_chroma(const YuvPicture& picture, const Resize& resize, YuvLayout layout) {
  const cv::Size to(subsampled(resize.to.width, layout.shift_x), subsampled(resize.to.height, layout.shift_y));
  const double over_x = static_cast<double>(to.width << layout.shift_x) / resize.to.width;
  const double over_y = static_cast<double>(to.height << layout.shift_y) / resize.to.height;
  const double x = 1.0 / (1 << picture.shift_x);
  const double y = 1.0 / (1 << picture.shift_y);
  return {
      .from = {resize.from.x * x, resize.from.y * y, resize.from.width * x * over_x, resize.from.height * y * over_y},
      .to = to,
      .kernel = resize.kernel};
}

bool is_whole(const cv::Size& size, const Resize& resize) {
  return size == resize.to && resize.from == cv::Rect2d(0, 0, size.width, size.height);
}

// Reduced by more than this, both ways, blocks of two by two pixels are averaged as they are unpacked: a quarter of the
// work for the kernel, which still sees at least three pixels for one.
constexpr double kHalvingMin = 6;

bool is_halved(const Resize& resize) {
  return resize.kernel != Kernel::kNearest && resize.from.width >= kHalvingMin * resize.to.width &&
         resize.from.height >= kHalvingMin * resize.to.height;
}

Resize of_halves(const Resize& resize) {
  const cv::Rect2d& from = resize.from;
  return {.from = {from.x / 2, from.y / 2, from.width / 2, from.height / 2}, .to = resize.to, .kernel = resize.kernel};
}

// How a row of pixels becomes planes, alone or averaged with the one below it; and back.
struct RowShape {
  void (*unpack)(const unsigned char* pixels, const PlaneRows& to, unsigned left, unsigned right);
  void (*unpack_halved)(const unsigned char* upper, const unsigned char* lower, int width, const PlaneRows& to,
                        unsigned left, unsigned right);
  void (*pack)(const PlaneRows& from, unsigned char* pixels, unsigned left, unsigned right);
};

cv::Mat resample_pixels(const cv::Mat& picture, const Resize& resize, const ZimgGraph::Format& format,
                        const RowShape& shape, const sdk::Job& job) {
  cv::Mat out(resize.to, picture.type());
  const bool halved = is_halved(resize);
  const cv::Size source = halved ? cv::Size((picture.cols + 1) / 2, (picture.rows + 1) / 2) : picture.size();
  const ZimgGraph graph(source, halved ? of_halves(resize) : resize, format);
  graph.run(
      [&](const ZimgGraph::Rows& to, unsigned row, unsigned left, unsigned right) {
        if (!halved) return shape.unpack(picture.ptr(static_cast<int>(row)), to, left, right);
        const int upper = 2 * static_cast<int>(row);
        const int lower = std::min(upper + 1, picture.rows - 1);
        shape.unpack_halved(picture.ptr(upper), picture.ptr(lower), picture.cols, to, left, right);
      },
      [&](const ZimgGraph::Rows& from, unsigned row, unsigned left, unsigned right) {
        shape.pack(from, out.ptr(static_cast<int>(row)), left, right);
      },
      job);
  return out;
}

cv::Mat resample_opaque(const cv::Mat& picture, const Resize& resize, const sdk::Job& job) {
  return resample_pixels(picture, resize, {.planes = 3}, {split_rgb, split_rgb_halved, merge_rgb}, job);
}

cv::Mat resample_transparent(const cv::Mat& picture, const Resize& resize, const sdk::Job& job) {
  return resample_pixels(picture, resize, {.planes = 4, .type_in = CV_16UC1, .type_out = CV_16UC1},
                         {premultiply, premultiply_halved, unpremultiply}, job);
}

}  // namespace

cv::Mat resample(const cv::Mat& picture, const Resize& resize, const sdk::Job& job) {
  if (is_whole(picture.size(), resize)) return picture;
  if (picture.channels() == 4) {
    // averaging knows no alpha: an extreme reduction goes in steps instead
    const int across = averaging_factor(resize.from.width, resize.to.width);
    const int down = averaging_factor(resize.from.height, resize.to.height);
    if (resize.kernel == Kernel::kNearest || (across == 1 && down == 1)) {
      return resample_transparent(picture, resize, job);
    }
    const double x = across > 1 ? kReductionLeft : 1;
    const double y = down > 1 ? kReductionLeft : 1;
    const cv::Size step(static_cast<int>(std::ceil(picture.cols / x)), static_cast<int>(std::ceil(picture.rows / y)));
    const cv::Mat smaller = resample_transparent(
        picture, {.from = {0, 0, step.width * x, step.height * y}, .to = step, .kernel = Kernel::kLinear}, job);
    const cv::Rect2d from(resize.from.x / x, resize.from.y / y, resize.from.width / x, resize.from.height / y);
    return resample(smaller, {.from = from, .to = resize.to, .kernel = resize.kernel}, job);
  }
  const Averaged source = average_first(picture, resize);
  return resample_opaque(source.picture, source.resize, job);
}

YuvPicture resample(const YuvPicture& picture, const Resize& resize, YuvLayout layout, const sdk::Job& job) {
  const bool narrows = picture.range == YuvPicture::Range::kFull && layout.range == YuvPicture::Range::kLimited;
  YuvPicture out{.planes = {}, .shift_x = layout.shift_x, .shift_y = layout.shift_y, .range = picture.range};
  out.planes[0] = resample_plane(picture.planes[0], resize, {.to_limited = narrows}, job);
  const Resize chroma = for_chroma(picture, resize, layout);
  for (const std::size_t i : {1U, 2U}) {
    out.planes[i] = resample_plane(picture.planes[i], chroma, {}, job);
    if (narrows) chroma_to_limited(out.planes[i]);
  }
  if (narrows) out.range = YuvPicture::Range::kLimited;
  if (out.range != layout.range) expand_range(out);
  return out;
}

cv::Mat resample_to_rgb(const YuvPicture& picture, const Resize& resize, const sdk::Job& job) {
  const ZimgGraph::Format format{.planes = 1, .type_in = CV_8UC1, .type_out = CV_16UC1};
  const Resize chroma = for_chroma(picture, resize, {});
  std::array<cv::Mat, 3> planes;
  for (std::size_t i = 0; i < planes.size(); ++i) {
    planes[i] = resample_plane(picture.planes[i], i == 0 ? resize : chroma, format, job);
  }
  return rgb_of_wide_planes(planes, picture.range);
}

}  // namespace quern::image
