#include "worker/jobs/image/resample.h"

#include <algorithm>
#include <array>
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>

#include "worker/sdk/job.h"

namespace quern::image {
namespace {

constexpr std::int64_t kScaledPixelsMax = std::int64_t{1} << 29;

cv::Size cv_size(Size size) { return {static_cast<int>(size.width), static_cast<int>(size.height)}; }

// 8-bit straight alpha to 16-bit premultiplied: v * a / 255, times 257.
cv::Mat premultiply(const cv::Mat& picture) {
  cv::Mat out(picture.rows, picture.cols, CV_16UC4);
  for (int y = 0; y < picture.rows; ++y) {
    const auto* from = picture.ptr<cv::Vec4b>(y);
    auto* to = out.ptr<cv::Vec4w>(y);
    for (int x = 0; x < picture.cols; ++x) {
      const std::uint32_t alpha = from[x][3];
      for (int c = 0; c < 3; ++c) to[x][c] = static_cast<std::uint16_t>((from[x][c] * alpha * 257 + 127) / 255);
      to[x][3] = static_cast<std::uint16_t>(alpha * 257);
    }
  }
  return out;
}

cv::Mat unpremultiply(const cv::Mat& picture) {
  cv::Mat out(picture.rows, picture.cols, CV_8UC4);
  for (int y = 0; y < picture.rows; ++y) {
    const auto* from = picture.ptr<cv::Vec4w>(y);
    auto* to = out.ptr<cv::Vec4b>(y);
    for (int x = 0; x < picture.cols; ++x) {
      const std::uint32_t alpha = from[x][3];
      for (int c = 0; c < 3; ++c) {
        const std::uint32_t straight = alpha == 0 ? 0 : (from[x][c] * 255U + alpha / 2) / alpha;
        to[x][c] = static_cast<std::uint8_t>(std::min(straight, 255U));
      }
      to[x][3] = static_cast<std::uint8_t>((alpha + 128) / 257);
    }
  }
  return out;
}

// Area averaging where the picture shrinks (it antialiases), cubic where it grows. OpenCV averages only
// when both sides shrink, so a picture that does one of each is scaled one side at a time.
cv::Mat scale_pixels(const cv::Mat& picture, cv::Size to) {
  if (to == picture.size()) return picture;
  const bool narrower = to.width < picture.cols;
  const bool lower = to.height < picture.rows;
  cv::Mat out;
  if (narrower != lower && to.width != picture.cols && to.height != picture.rows) {
    const cv::Size first = narrower ? cv::Size(to.width, picture.rows) : cv::Size(picture.cols, to.height);
    cv::resize(picture, out, first, 0, 0, cv::INTER_AREA);
    cv::Mat grown;
    cv::resize(out, grown, to, 0, 0, cv::INTER_CUBIC);
    return grown;
  }
  cv::resize(picture, out, to, 0, 0, narrower || lower ? cv::INTER_AREA : cv::INTER_CUBIC);
  return out;
}

cv::Mat scale(const cv::Mat& picture, cv::Size to) {
  if (to == picture.size()) return picture;
  if (picture.channels() != 4) return scale_pixels(picture, to);
  return unpremultiply(scale_pixels(premultiply(picture), to));
}

cv::Mat with_alpha(const cv::Mat& picture) {
  if (picture.channels() == 4) return picture;
  cv::Mat out;
  cv::cvtColor(picture, out, cv::COLOR_RGB2RGBA);
  return out;
}

}  // namespace

cv::Mat scale_and_cut(const cv::Mat& picture, const Plan& plan) {
  const Window across = window_of(static_cast<std::uint32_t>(picture.cols), plan.scaled.width, plan.canvas.width);
  const Window down = window_of(static_cast<std::uint32_t>(picture.rows), plan.scaled.height, plan.canvas.height);
  if (std::int64_t{across.scaled} * down.scaled > kScaledPixelsMax) {
    throw sdk::JobError(sdk::JobErrorCode::kTooLarge, "a picture of this shape can't be enlarged that much");
  }
  const cv::Mat source = picture(cv::Rect(across.begin, down.begin, across.end - across.begin, down.end - down.begin));
  const cv::Mat scaled = scale(source, {across.scaled, down.scaled});
  const cv::Mat kept = scaled(cv::Rect(across.offset, down.offset, across.kept, down.kept));
  return kept.isContinuous() ? kept : kept.clone();
}

cv::Mat pad(const cv::Mat& picture, Size canvas, Color background) {
  const cv::Size size = cv_size(canvas);
  if (picture.size() == size) return picture;
  const cv::Mat source = background.a < 255 ? with_alpha(picture) : picture;
  cv::Mat out(size, source.type(), cv::Scalar(background.r, background.g, background.b, background.a));
  source.copyTo(
      out(cv::Rect((size.width - source.cols) / 2, (size.height - source.rows) / 2, source.cols, source.rows)));
  return out;
}

cv::Mat upright(const cv::Mat& picture, int orientation) {
  cv::Mat out;
  switch (orientation) {
    case 2: cv::flip(picture, out, 1); return out;
    case 3: cv::rotate(picture, out, cv::ROTATE_180); return out;
    case 4: cv::flip(picture, out, 0); return out;
    case 5: cv::transpose(picture, out); return out;
    case 6: cv::rotate(picture, out, cv::ROTATE_90_CLOCKWISE); return out;
    case 7:
      cv::transpose(picture, out);
      cv::rotate(out, out, cv::ROTATE_180);
      return out;
    case 8: cv::rotate(picture, out, cv::ROTATE_90_COUNTERCLOCKWISE); return out;
    default: return picture;
  }
}

cv::Mat without_opaque_alpha(const cv::Mat& picture) {
  if (picture.channels() != 4) return picture;
  for (int y = 0; y < picture.rows; ++y) {
    const auto* row = picture.ptr<cv::Vec4b>(y);
    if (!std::all_of(row, row + picture.cols, [](const cv::Vec4b& pixel) { return pixel[3] == 255; })) return picture;
  }
  cv::Mat solid;
  cv::cvtColor(picture, solid, cv::COLOR_RGBA2RGB);
  return solid;
}

cv::Mat flatten(const cv::Mat& picture, Color background) {
  if (picture.channels() != 4) return picture;
  cv::Mat out(picture.rows, picture.cols, CV_8UC3);
  const std::array<int, 3> under{background.r, background.g, background.b};
  for (int y = 0; y < picture.rows; ++y) {
    const auto* from = picture.ptr<cv::Vec4b>(y);
    auto* to = out.ptr<cv::Vec3b>(y);
    for (int x = 0; x < picture.cols; ++x) {
      const int alpha = from[x][3];
      for (std::size_t c = 0; c < 3; ++c) {
        const int i = static_cast<int>(c);
        to[x][i] = static_cast<std::uint8_t>((from[x][i] * alpha + under[c] * (255 - alpha) + 127) / 255);
      }
    }
  }
  return out;
}

}  // namespace quern::image
