// Operations on each pixel's colour by itself. Alpha stays as it is, unless it says otherwise.
#pragma once

#include <array>
#include <opencv2/core/mat.hpp>
#include <vector>

#include "worker/jobs/image/picture.h"
#include "worker/sdk/job.h"

namespace quern::image {

// The luminance of each pixel, as grey; the picture keeps its channels.
[[nodiscard]] cv::Mat greyscale(const cv::Mat& picture, const sdk::Job& job);

// Grey in a hue: each pixel gets its own luminance and the colour's a* and b*, less of it towards black and white.
[[nodiscard]] cv::Mat tint(const cv::Mat& picture, Color color, const sdk::Job& job);

// In CIE LCh: L* times `brightness` plus `lightness`, chroma times `saturation`, `hue` degrees further.
struct Modulation {
  double brightness = 1;
  double saturation = 1;
  double hue = 0;
  double lightness = 0;
};
[[nodiscard]] cv::Mat modulate(const cv::Mat& picture, const Modulation& modulation, const sdk::Job& job);

// Each channel, 0 to 1, to the power of 1 / gamma.
[[nodiscard]] cv::Mat gamma(const cv::Mat& picture, double gamma);

enum class AlphaToo { kNo, kYes };
[[nodiscard]] cv::Mat negate(const cv::Mat& picture, AlphaToo alpha);

// What L* the darkest `lower` per cent of the pixels have at most, and all but the lightest `100 - upper`.
struct LightnessRange {
  float from = 0;
  float to = 100;
};
[[nodiscard]] LightnessRange lightness_range(const cv::Mat& picture, double lower, double upper, const sdk::Job& job);
// Stretches L* so that this range becomes 0 to 100. A range of less than 1 stays.
[[nodiscard]] cv::Mat normalise(const cv::Mat& picture, LightnessRange range, const sdk::Job& job);

// Equalises the histogram of L* in tiles of about `width` x `height` pixels, and interpolates between them. A
// slope above `max_slope` is cut, so that noise in flat parts is not blown up; 0: nothing is cut.
[[nodiscard]] cv::Mat clahe(const cv::Mat& picture, cv::Size tile, int max_slope, const sdk::Job& job);

// channel * a + b, for as many channels as there are numbers, red first; one number is for all three colours.
[[nodiscard]] cv::Mat linear(const cv::Mat& picture, const std::vector<double>& a, const std::vector<double>& b);

// Each pixel times a matrix of 3 x 3 or, alpha included, 4 x 4 numbers, row by row.
[[nodiscard]] cv::Mat recomb(const cv::Mat& picture, const std::vector<double>& matrix);

enum class ThresholdOf { kChannels, kGrey };
// 255 where it is at least `value`, else 0.
[[nodiscard]] cv::Mat threshold(const cv::Mat& picture, int value, ThresholdOf of, const sdk::Job& job);

}  // namespace quern::image
