#include "bench/charts.h"

#include <cmath>
#include <cstdint>
#include <numbers>
#include <opencv2/imgproc.hpp>
#include <string>

namespace quern::bench {
namespace {

const cv::Size kSize(2048, 1536);

// Rings that get finer outwards: a pixel and a half each way in the corners of the shorter side.
cv::Mat zone_plate() {
  cv::Mat chart(kSize, CV_8UC3);
  const double finest = std::numbers::pi / 1.5 / kSize.height;
  chart.forEach<cv::Vec3b>([&](cv::Vec3b& pixel, const int* at) {
    const double y = at[0] - kSize.height / 2.0;
    const double x = at[1] - kSize.width / 2.0;
    pixel = cv::Vec3b::all(cv::saturate_cast<std::uint8_t>(127.5 + 127.5 * std::cos(finest * (x * x + y * y))));
  });
  return chart;
}

// Letters of ten to sixty pixels, black on white and yellow on blue.
cv::Mat text() {
  cv::Mat chart(kSize, CV_8UC3, cv::Scalar::all(255));
  cv::rectangle(chart, cv::Rect(0, kSize.height / 2, kSize.width, kSize.height / 2), cv::Scalar(20, 30, 140), -1);
  for (const int begin : {0, kSize.height / 2}) {
    const cv::Scalar ink = begin == 0 ? cv::Scalar::all(0) : cv::Scalar(255, 220, 40);
    int y = begin;
    for (double scale = 0.4; y + 70 * scale < begin + kSize.height / 2; scale *= 1.15) {
      y += static_cast<int>(30 * scale) + 8;
      cv::putText(chart, "Sphinx of black quartz, judge my vow 0123456789 ... and once more, with feeling: &%$#@",
                  {10, y}, cv::FONT_HERSHEY_COMPLEX, scale, ink, scale < 1 ? 1 : 2, cv::LINE_AA);
    }
  }
  return chart;
}

cv::Mat gradients() {
  cv::Mat chart(kSize, CV_8UC3);
  chart.forEach<cv::Vec3b>([](cv::Vec3b& pixel, const int* at) {
    const double y = at[0] / (kSize.height - 1.0);
    const double x = at[1] / (kSize.width - 1.0);
    const double slow = 255 * (0.5 + 0.5 * std::sin(6 * x + 3 * y));
    pixel = cv::Vec3b(cv::saturate_cast<std::uint8_t>(255 * x), cv::saturate_cast<std::uint8_t>(255 * y),
                      cv::saturate_cast<std::uint8_t>(slow));
  });
  return chart;
}

// Discs with hard edges, of bright colours, over invisible pixels of the opposite colour.
cv::Mat alpha_edges() {
  cv::Mat chart(kSize, CV_8UC4);
  chart.forEach<cv::Vec4b>([](cv::Vec4b& pixel, const int* at) {
    constexpr int kCell = 96;
    const int row = at[0] / kCell;
    const int column = at[1] / kCell;
    const double distance = std::hypot(at[0] % kCell - kCell / 2.0, at[1] % kCell - kCell / 2.0);
    const cv::Vec3b color(static_cast<std::uint8_t>(row * 37 % 256), static_cast<std::uint8_t>(column * 53 % 256), 60);
    const bool inside = distance < 8 + (row + column) % 36;
    for (int c = 0; c < 3; ++c) pixel[c] = static_cast<std::uint8_t>(inside ? color[c] : 255 - color[c]);
    pixel[3] = inside ? 255 : 0;
  });
  return chart;
}

}  // namespace

std::vector<Chart> charts() {
  return {{"zone plate", zone_plate()}, {"text", text()}, {"gradients", gradients()}, {"alpha edges", alpha_edges()}};
}

}  // namespace quern::bench
