#include "worker/jobs/image/operations/filter.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>

#include "worker/jobs/image/lab.h"
#include "worker/jobs/image/operations/premultiplied.h"
#include "worker/jobs/image/operations/strips.h"

namespace quern::image {
namespace {

constexpr int kEdge = cv::BORDER_REPLICATE | cv::BORDER_ISOLATED;

constexpr double kNarrowSigmaMax = 10;

// Rows up and down. What is cut off of the bell is less than half a step of 8 bits.
int gaussian_reach(double sigma) { return static_cast<int>(std::ceil(3.5 * sigma)); }

cv::Mat narrow_gaussian(const cv::Mat& picture, double sigma) {
  cv::Mat out;
  const int size = 2 * gaussian_reach(sigma) + 1;
  cv::GaussianBlur(picture, out, {size, size}, sigma, sigma, kEdge);
  return out;
}

// The mean of rows y to y + n - 1, alpha premultiplied; where there are no such rows the outermost one goes on.
cv::Mat mean_of_rows(const cv::Mat& picture, int y, int n) {
  cv::Mat sum(1, picture.cols, CV_32FC(picture.channels()), cv::Scalar::all(0));
  for (int i = y; i < y + n; ++i) sum += premultiplied_floats(picture.row(std::clamp(i, 0, picture.rows - 1)));
  return sum / n;
}

constexpr int kWideRows = 16;  // at a time: scaling one by one takes longer, all take memory

// The means of squares of n pixels, and of one more on each side: what lies beyond an edge is like that for ever.
cv::Mat means_of_squares(const cv::Mat& picture, int n, const sdk::Job& job) {
  const cv::Size inner((picture.cols + n - 1) / n, (picture.rows + n - 1) / n);
  cv::Mat out(inner + cv::Size(2, 2), CV_32FC(picture.channels()));
  cv::Mat extended(kWideRows, out.cols * n, out.type());
  for (int first = 0; first < out.rows; first += kWideRows) {
    cv::Mat rows = out.rowRange(first, std::min(first + kWideRows, out.rows));
    for (int i = 0; i < rows.rows; ++i) {
      job.throw_if_cancelled();
      cv::Mat row = extended.row(i);
      cv::copyMakeBorder(mean_of_rows(picture, (first + i - 1) * n, n), row, 0, 0, n,
                         (inner.width + 1) * n - picture.cols, cv::BORDER_REPLICATE);
    }
    cv::resize(extended.rowRange(0, rows.rows), rows, rows.size(), 0, 0, cv::INTER_AREA);
  }
  return out;
}

// A picture between the means of its squares.
cv::Mat interpolated(const cv::Mat& means, int n, cv::Size size, const sdk::Job& job) {
  cv::Mat out(size, CV_8UC(means.channels()));
  cv::Mat wide;
  cv::Mat line;
  int y = 0;
  for (int first = 0; first + 1 < means.rows; first += kWideRows) {
    const cv::Mat rows = means.rowRange(first, std::min(first + kWideRows + 1, means.rows));
    cv::resize(rows, wide, {rows.cols * n, rows.rows}, 0, 0, cv::INTER_LINEAR);
    const cv::Mat seen = wide.colRange(n, n + size.width);
    for (; y < size.height; ++y) {
      job.throw_if_cancelled();
      const double at = (y + 0.5) / n + 0.5 - first;  // from the middle of the first row
      const auto above = static_cast<int>(at);
      if (above >= kWideRows) break;
      const double part = at - above;
      cv::addWeighted(seen.row(above), 1 - part, seen.row(above + 1), part, 0, line);
      straight_of_floats(line).copyTo(out.row(y));
    }
  }
  return out;
}

// Averaging squares of n pixels and interpolating between their means is a blur itself; the rest of sigma is done in
// between, on few pixels.
cv::Mat wide_gaussian(const cv::Mat& picture, double sigma, const sdk::Job& job) {
  constexpr double kMeansASigma = 4;  // enough for them not to show, few enough to be fast
  const int n = static_cast<int>(sigma / kMeansASigma);
  // variances add: a box's is (n^2 - 1) / 12, the interpolation's n^2 / 6
  const double variance = sigma * sigma - (n * n - 1) / 12.0 - n * n / 6.0;
  const cv::Mat means = means_of_squares(picture, n, job);
  return interpolated(narrow_gaussian(means, std::sqrt(variance) / n), n, picture.size(), job);
}

// filter(picture), in strips, with alpha premultiplied.
template <class Filter>
cv::Mat filtered(const cv::Mat& picture, int reach, const sdk::Job& job, const Filter& filter) {
  return in_strips(picture, reach, job, [&](const cv::Mat& part) { return with_premultiplied(part, filter); });
}

cv::Mat odd_square(int width) { return cv::getStructuringElement(cv::MORPH_RECT, {2 * width + 1, 2 * width + 1}); }

// L* of each pixel, that of invisible ones as if they were like their visible neighbours: weighted by alpha before and
// after the blur.
cv::Mat lightness_lost(const cv::Mat& picture, double sigma, const sdk::Job& job) {
  const int channels = picture.channels();
  cv::Mat lightness(picture.size(), CV_32FC1);
  cv::Mat alpha(channels == 4 ? picture.size() : cv::Size(), CV_32FC1);
  for (int y = 0; y < picture.rows; ++y) {
    job.throw_if_cancelled();
    const auto* from = picture.ptr<std::uint8_t>(y);
    auto* to = lightness.ptr<float>(y);
    auto* weight = channels == 4 ? alpha.ptr<float>(y) : nullptr;
    for (int x = 0; x < picture.cols; ++x, from += channels) {
      to[x] = lab_of({from[0], from[1], from[2]}).l;
      if (weight != nullptr) weight[x] = static_cast<float>(from[3]) / 255;
    }
  }
  if (channels == 3) return lightness - narrow_gaussian(lightness, sigma);
  job.throw_if_cancelled();
  const cv::Mat weighted = narrow_gaussian(lightness.mul(alpha), sigma);
  const cv::Mat weights = narrow_gaussian(alpha, sigma);
  cv::Mat blurred;
  cv::divide(weighted, cv::max(weights, 1e-6F), blurred);
  return lightness - blurred;
}

float sharpened(float lost, const SharpenOptions& options) {
  constexpr float kNothing = 1e-3F;  // rounding, which a large slope would make visible
  if (std::abs(lost) < kNothing) return 0;
  const auto x1 = static_cast<float>(options.x1);
  const auto m1 = static_cast<float>(options.m1);
  const auto m2 = static_cast<float>(options.m2);
  float gain = lost * m1;
  if (lost > x1) gain = x1 * m1 + (lost - x1) * m2;
  if (lost < -x1) gain = -x1 * m1 + (lost + x1) * m2;
  return std::clamp(gain, static_cast<float>(-options.y3), static_cast<float>(options.y2));
}

cv::Mat convolved(const cv::Mat& picture, const ConvolutionKernel& kernel) {
  cv::Mat weights(kernel.height, kernel.width, CV_64FC1);
  std::ranges::transform(kernel.weights, weights.begin<double>(), [&](double each) { return each / kernel.scale; });
  cv::Mat out;
  if (picture.channels() == 3) {
    cv::filter2D(picture, out, CV_8U, weights, {-1, -1}, kernel.offset, kEdge);
    return out;
  }
  const cv::Mat source = premultiplied_floats(picture);
  cv::filter2D(source, out, CV_32F, weights, {-1, -1}, 0, kEdge);
  const bool keeps_alpha = std::abs(cv::sum(weights)[0]) < 1e-9;
  if (keeps_alpha) cv::mixChannels(std::vector{source}, std::vector{out}, {3, 3});
  return straight_of_floats(out, static_cast<float>(kernel.offset));
}

cv::Mat sharpened_lightness(const cv::Mat& picture, const SharpenOptions& options, const sdk::Job& job) {
  const cv::Mat lost = lightness_lost(picture, options.sigma, job);
  const int channels = picture.channels();
  cv::Mat out(picture.size(), picture.type());
  for (int y = 0; y < picture.rows; ++y) {
    job.throw_if_cancelled();
    const auto* from = picture.ptr<std::uint8_t>(y);
    const auto* difference = lost.ptr<float>(y);
    auto* to = out.ptr<std::uint8_t>(y);
    for (int x = 0; x < picture.cols; ++x, from += channels, to += channels) {
      Lab color = lab_of({from[0], from[1], from[2]});
      color.l = std::clamp(color.l + sharpened(difference[x], options), 0.0F, 100.0F);
      std::ranges::copy(rgb_of(color), to);
      if (channels == 4) to[3] = from[3];
    }
  }
  return out;
}

}  // namespace

cv::Mat blur(const cv::Mat& picture, const sdk::Job& job) {
  return filtered(picture, 1, job, [](const cv::Mat& source) {
    cv::Mat out;
    cv::blur(source, out, {3, 3}, {-1, -1}, kEdge);
    return out;
  });
}

cv::Mat blur(const cv::Mat& picture, double sigma, const sdk::Job& job) {
  if (sigma > kNarrowSigmaMax) return wide_gaussian(picture, sigma, job);
  return filtered(picture, gaussian_reach(sigma), job,
                  [sigma](const cv::Mat& source) { return narrow_gaussian(source, sigma); });
}

cv::Mat median(const cv::Mat& picture, int size, const sdk::Job& job) {
  constexpr int kDeepSizeMax = 5;  // OpenCV's wider ones take 8 bits only
  return filtered(picture, size / 2, job, [size](const cv::Mat& source) {
    cv::Mat out;
    if (source.depth() == CV_8U || size <= kDeepSizeMax) {
      cv::medianBlur(source, out, size);
      return out;
    }
    cv::Mat shallow;
    source.convertTo(shallow, CV_8U, 1.0 / 257);
    cv::medianBlur(shallow, out, size);
    out.convertTo(out, CV_16U, 257);
    return out;
  });
}

cv::Mat sharpen(const cv::Mat& picture, const sdk::Job& job) {
  ConvolutionKernel kernel{.width = 3, .height = 3, .weights = std::vector<double>(9, -1), .scale = 24};
  kernel.weights[4] = 32;
  return convolve(picture, kernel, job);
}

cv::Mat sharpen(const cv::Mat& picture, const SharpenOptions& options, const sdk::Job& job) {
  constexpr double kSigmaMin = 0.1;  // below it a pixel's neighbours weigh nothing
  SharpenOptions bounded = options;
  bounded.sigma = std::max(options.sigma, kSigmaMin);
  return in_strips(picture, gaussian_reach(bounded.sigma), job,
                   [&](const cv::Mat& part) { return sharpened_lightness(part, bounded, job); });
}

cv::Mat convolve(const cv::Mat& picture, const ConvolutionKernel& kernel, const sdk::Job& job) {
  return in_strips(picture, kernel.height / 2, job, [&](const cv::Mat& part) { return convolved(part, kernel); });
}

cv::Mat dilate(const cv::Mat& picture, int width, const sdk::Job& job) {
  return filtered(picture, width, job, [width](const cv::Mat& source) {
    cv::Mat out;
    cv::dilate(source, out, odd_square(width), {-1, -1}, 1, kEdge);
    return out;
  });
}

cv::Mat erode(const cv::Mat& picture, int width, const sdk::Job& job) {
  return filtered(picture, width, job, [width](const cv::Mat& source) {
    cv::Mat out;
    cv::erode(source, out, odd_square(width), {-1, -1}, 1, kEdge);
    return out;
  });
}

}  // namespace quern::image
