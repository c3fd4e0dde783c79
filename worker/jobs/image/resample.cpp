#include "worker/jobs/image/resample.h"

#include <algorithm>
#include <cmath>
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>

namespace quern::image {
namespace {

// An extreme aspect ratio asks for sides beyond any limit: they are capped where a number of 32 bits
// still holds them, and refused by the caller.
std::uint32_t rounded(double length) { return static_cast<std::uint32_t>(std::clamp(std::round(length), 1.0, 4e9)); }
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

cv::Mat scale(const cv::Mat& picture, Size to) {
  if (cv_size(to) == picture.size()) return picture;
  if (picture.channels() != 4) return scale_pixels(picture, cv_size(to));
  return unpremultiply(scale_pixels(premultiply(picture), cv_size(to)));
}

cv::Mat with_alpha(const cv::Mat& picture) {
  if (picture.channels() == 4) return picture;
  cv::Mat out;
  cv::cvtColor(picture, out, cv::COLOR_RGB2RGBA);
  return out;
}

// Cuts what is outside the canvas and pads what is missing, centred.
cv::Mat place(const cv::Mat& picture, Size canvas, Color background) {
  const cv::Size size = cv_size(canvas);
  if (picture.size() == size) return picture;
  const int width = std::min(picture.cols, size.width);
  const int height = std::min(picture.rows, size.height);
  // an odd pixel goes to the left and the top, as in sharp
  const cv::Rect from((picture.cols - width + 1) / 2, (picture.rows - height + 1) / 2, width, height);
  if (width == size.width && height == size.height) return picture(from).clone();
  const cv::Mat source = background.a < 255 ? with_alpha(picture) : picture;
  cv::Mat out(size, source.type(), cv::Scalar(background.r, background.g, background.b, background.a));
  source(from).copyTo(out(cv::Rect((size.width - width) / 2, (size.height - height) / 2, width, height)));
  return out;
}

}  // namespace

Plan make_plan(Size source, Size asked, Fit fit, bool without_enlargement) {
  const double w = source.width;
  const double h = source.height;
  if (asked.width == 0 || asked.height == 0) {
    double factor = asked.width != 0 ? asked.width / w : asked.height / h;
    if (without_enlargement) factor = std::min(factor, 1.0);
    Size scaled{rounded(w * factor), rounded(h * factor)};
    // the asked side is exact, whatever rounding says
    if (asked.width != 0 && factor == asked.width / w) scaled.width = asked.width;
    if (asked.height != 0 && factor == asked.height / h) scaled.height = asked.height;
    return {scaled, scaled};
  }
  if (fit == Fit::kFill) {
    Size scaled = asked;
    if (without_enlargement) scaled = {std::min(asked.width, source.width), std::min(asked.height, source.height)};
    return {scaled, scaled};
  }
  const double across = asked.width / w;
  const double down = asked.height / h;
  const bool covers = fit == Fit::kCover || fit == Fit::kOutside;
  double factor = covers ? std::max(across, down) : std::min(across, down);
  if (without_enlargement) factor = std::min(factor, 1.0);
  Size scaled{rounded(w * factor), rounded(h * factor)};
  if (factor == across) scaled.width = asked.width;
  if (factor == down) scaled.height = asked.height;
  switch (fit) {
    case Fit::kCover: return {scaled, {std::min(scaled.width, asked.width), std::min(scaled.height, asked.height)}};
    case Fit::kContain: return {scaled, asked};
    default: return {scaled, scaled};
  }
}

std::uint32_t shrink_on_load(Size source, const Plan& plan) {
  for (const std::uint32_t shrink : {8U, 4U, 2U}) {
    if (source.width / shrink >= 2 * plan.scaled.width && source.height / shrink >= 2 * plan.scaled.height) return shrink;
  }
  return 1;
}

cv::Mat resample(const cv::Mat& picture, const Plan& plan, Color background) {
  return place(scale(picture, plan.scaled), plan.canvas, background);
}

cv::Mat upright(const cv::Mat& picture, int orientation) {
  cv::Mat out;
  switch (orientation) {
    case 2: cv::flip(picture, out, 1); return out;
    case 3: cv::rotate(picture, out, cv::ROTATE_180); return out;
    case 4: cv::flip(picture, out, 0); return out;
    case 5: cv::transpose(picture, out); return out;
    case 6: cv::rotate(picture, out, cv::ROTATE_90_CLOCKWISE); return out;
    case 7: cv::transpose(picture, out); cv::rotate(out, out, cv::ROTATE_180); return out;
    case 8: cv::rotate(picture, out, cv::ROTATE_90_COUNTERCLOCKWISE); return out;
    default: return picture;
  }
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
