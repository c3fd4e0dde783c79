#include "worker/jobs/image/attention.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>
#include <tuple>

#include "worker/jobs/image/alpha.h"

namespace quern::image {
namespace {

// The place with the highest score; the nearest to the middle among equals.
cv::Point best_place(const cv::Mat_<double>& scores) {
  const cv::Point free(scores.cols - 1, scores.rows - 1);
  const auto from_middle = [&](cv::Point at) { return std::abs(2 * at.x - free.x) + std::abs(2 * at.y - free.y); };
  cv::Point best(free.x / 2, free.y / 2);
  for (int y = 0; y <= free.y; ++y) {
    for (int x = 0; x <= free.x; ++x) {
      const double margin = 1e-9 * std::abs(scores(best));  // sums differ by their order
      const bool nearer = from_middle({x, y}) < from_middle(best);
      if (scores(y, x) > scores(best) + margin || (scores(y, x) >= scores(best) - margin && nearer)) best = {x, y};
    }
  }
  return best;
}

// Of 64 shades of luma.
using Histogram = std::array<int, 64>;

double entropy_of(const Histogram& counts, int total) {
  double bits = 0;
  for (const int count : counts) {
    if (count == 0) continue;
    const double share = static_cast<double>(count) / total;
    bits -= share * std::log2(share);
  }
  return bits;
}

void count(const cv::Mat& luma, int step, Histogram& counts) {
  constexpr int kShade = 256 / std::tuple_size_v<Histogram>;
  for (int y = 0; y < luma.rows; ++y) {
    const auto* row = luma.ptr<std::uint8_t>(y);
    for (int x = 0; x < luma.cols; ++x) counts[row[x] / kShade] += step;
  }
}

// Of each place of the window. It mostly has only one way to go: down, after luma was turned.
cv::Mat_<double> entropies(const cv::Mat& luma, cv::Size window) {
  if (luma.cols - window.width > luma.rows - window.height) {
    cv::Mat_<double> turned;
    cv::transpose(entropies(luma.t(), {window.height, window.width}), turned);
    return turned;
  }
  cv::Mat_<double> out(luma.rows - window.height + 1, luma.cols - window.width + 1);
  for (int x = 0; x < out.cols; ++x) {
    const cv::Mat column = luma.colRange(x, x + window.width);
    Histogram counts{};
    count(column.rowRange(0, window.height), 1, counts);
    out(0, x) = entropy_of(counts, window.area());
    for (int y = 1; y < out.rows; ++y) {
      count(column.row(y - 1), -1, counts);
      count(column.row(y + window.height - 1), 1, counts);
      out(y, x) = entropy_of(counts, window.area());
    }
  }
  return out;
}

// How near a colour's hue is to that of skin, whatever its lightness: 0 to 1. Light and dark skin differ little in the
// direction of their colour; too dark or too bright a pixel says nothing.
double skin(const cv::Vec3f& rgb) {
  const cv::Vec3f typical(0.78F, 0.57F, 0.44F);
  const double length = cv::norm(rgb);
  if (length < 60 || length > 420) return 0;
  const double distance = cv::norm(rgb / length - typical / cv::norm(typical));
  return std::max(0.0, 1 - distance / 0.1);
}

double saturation(const cv::Vec3f& rgb) {
  const auto [low, high] = std::minmax({rgb[0], rgb[1], rgb[2]});
  return (high - low) / 255;  // not of the lightness: dark colours are seen less
}

cv::Mat attention_of(const cv::Mat& rgb) {
  cv::Mat luma;
  cv::cvtColor(rgb, luma, cv::COLOR_RGB2GRAY);
  cv::Mat coarse;  // where gravel, grass and noise are even
  cv::resize(luma, coarse, {std::max(1, rgb.cols / 4), std::max(1, rgb.rows / 4)}, 0, 0, cv::INTER_AREA);
  cv::Mat detail;
  cv::Laplacian(coarse, detail, CV_32F);
  detail = cv::abs(detail);
  cv::resize(detail, detail, rgb.size(), 0, 0, cv::INTER_LINEAR);
  cv::Mat score(rgb.size(), CV_64F);
  for (int y = 0; y < rgb.rows; ++y) {
    for (int x = 0; x < rgb.cols; ++x) {
      const cv::Vec3f colour(rgb.at<cv::Vec3b>(y, x));
      const double edges = std::min(std::abs(detail.at<float>(y, x)) / 64.0, 1.0);
      score.at<double>(y, x) = edges + 1.5 * skin(colour) + 0.5 * std::max(0.0, saturation(colour) - 0.3);
    }
  }
  return score;
}

// The sum of each place of the window, in which the middle counts most: so that what draws the eye comes to lie there,
// and a thing that is small and strong is not outweighed by a wide faint one.
cv::Mat_<double> seen_through(const cv::Mat& score, cv::Size window) {
  constexpr double kSides = 3;  // a bell's deviation fits so often into a side
  const cv::Mat across = cv::getGaussianKernel(window.width, window.width / kSides, CV_64F);
  const cv::Mat down = cv::getGaussianKernel(window.height, window.height / kSides, CV_64F).t();
  cv::Mat_<double> rows(score.rows, score.cols - window.width + 1);
  for (int x = 0; x < rows.cols; ++x) rows.col(x) = score.colRange(x, x + window.width) * across;
  cv::Mat_<double> out(score.rows - window.height + 1, rows.cols);
  for (int y = 0; y < out.rows; ++y) out.row(y) = down * rows.rowRange(y, y + window.height);
  return out;
}

}  // namespace

cv::Point find_entropy(const cv::Mat& picture, cv::Size cut) {
  cv::Mat luma;
  cv::cvtColor(flatten(picture, Color{}), luma, cv::COLOR_RGB2GRAY);
  return best_place(entropies(luma, cut));
}

cv::Point find_attention(const cv::Mat& picture, cv::Size cut) {
  return best_place(seen_through(attention_of(flatten(picture, Color{})), cut));
}

}  // namespace quern::image
