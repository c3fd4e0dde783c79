#include "tests/unit/jobs/lanczos.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <opencv2/core.hpp>
#include <stdexcept>
#include <vector>

namespace quern::image {
namespace {

double sinc(double x) { return x == 0 ? 1 : std::sin(std::numbers::pi * x) / (std::numbers::pi * x); }
double lanczos(double x, double lobes) { return std::abs(x) < lobes ? sinc(x) * sinc(x / lobes) : 0; }

// Mitchell and Netravali's family: equation 8 of "Reconstruction Filters in Computer Graphics".
double cubic(double x, double b, double c) {
  x = std::abs(x);
  if (x >= 2) return 0;
  if (x < 1) return ((12 - 9 * b - 6 * c) * x * x * x + (-18 + 12 * b + 6 * c) * x * x + 6 - 2 * b) / 6;
  return ((-b - 6 * c) * x * x * x + (6 * b + 30 * c) * x * x + (-12 * b - 48 * c) * x + 8 * b + 24 * c) / 6;
}

constexpr double kReach = 3;  // the widest one's, in pixels each way

double weight_of(Kernel kernel, double x) {
  switch (kernel) {
    case Kernel::kNearest: break;
    case Kernel::kLinear: return std::max(0.0, 1 - std::abs(x));
    case Kernel::kCubic: return cubic(x, 0, 0.5);
    case Kernel::kMitchell: return cubic(x, 1.0 / 3, 1.0 / 3);
    case Kernel::kLanczos2: return lanczos(x, 2);
    case Kernel::kLanczos3: return lanczos(x, 3);
  }
  throw std::logic_error("not a kernel that weighs");
}

// What one pixel of the result is made of, along one axis.
struct Taps {
  int first = 0;
  std::vector<double> weights;
};

// Pixel `i` of `scaled`, whose middle lies at (i + 0.5) / scaled of the source. Beyond an edge the outermost pixel goes
// on.
Taps taps_of(int i, int source, int scaled, Kernel kernel) {
  const double ratio = static_cast<double>(source) / scaled;
  const double width = std::max(1.0, ratio);
  const double middle = (i + 0.5) * ratio;
  const int first = static_cast<int>(std::floor(middle - kReach * width));
  const int last = static_cast<int>(std::ceil(middle + kReach * width));
  Taps taps{std::clamp(first, 0, source - 1), {}};
  taps.weights.resize(static_cast<std::size_t>(std::clamp(last, 0, source - 1) - taps.first + 1));
  double sum = 0;
  for (int at = first; at <= last; ++at) {
    const double weight = weight_of(kernel, (at + 0.5 - middle) / width);
    taps.weights[static_cast<std::size_t>(std::clamp(at, 0, source - 1) - taps.first)] += weight;
    sum += weight;
  }
  for (double& weight : taps.weights) weight /= sum;
  return taps;
}

// Rows scaled, columns kept from `offset` on. Called twice, with a transposition between.
cv::Mat scale_rows(const cv::Mat& picture, int scaled, int offset, int kept, Kernel kernel) {
  cv::Mat out = cv::Mat::zeros(kept, picture.cols, picture.type());
  for (int y = 0; y < kept; ++y) {
    const Taps taps = taps_of(y + offset, picture.rows, scaled, kernel);
    for (std::size_t i = 0; i < taps.weights.size(); ++i) {
      out.row(y) += picture.row(taps.first + static_cast<int>(i)) * taps.weights[i];
    }
  }
  return out;
}

cv::Mat premultiplied(const cv::Mat& picture) {
  cv::Mat out;
  picture.convertTo(out, CV_64F);
  if (picture.channels() != 4) return out;
  out.forEach<cv::Vec4d>([](cv::Vec4d& pixel, const int*) {
    for (int c = 0; c < 3; ++c) pixel[c] *= pixel[3] / 255;
  });
  return out;
}

cv::Mat straight(cv::Mat picture) {
  if (picture.channels() == 4) {
    picture.forEach<cv::Vec4d>([](cv::Vec4d& pixel, const int*) {
      const double alpha = std::round(pixel[3]) > 0 ? pixel[3] : 0;
      for (int c = 0; c < 3; ++c) pixel[c] = alpha > 0 ? pixel[c] * 255 / alpha : 0;
    });
  }
  cv::Mat out;
  picture.convertTo(out, CV_8U);
  return out;
}

}  // namespace

cv::Mat reference_cover(const cv::Mat& picture, cv::Size to, Kernel kernel) {
  const double factor =
      std::max(static_cast<double>(to.width) / picture.cols, static_cast<double>(to.height) / picture.rows);
  const cv::Size scaled(static_cast<int>(std::lround(picture.cols * factor)),
                        static_cast<int>(std::lround(picture.rows * factor)));
  const cv::Point offset((scaled.width - to.width + 1) / 2, (scaled.height - to.height + 1) / 2);
  const cv::Mat down = scale_rows(premultiplied(picture), scaled.height, offset.y, to.height, kernel);
  return straight(scale_rows(down.t(), scaled.width, offset.x, to.width, kernel).t());
}

}  // namespace quern::image
