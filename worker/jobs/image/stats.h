// image.stats: what a picture's pixels are like, in numbers.
#pragma once

#include <cstdint>
#include <opencv2/core/mat.hpp>
#include <vector>

#include "worker/jobs/image/picture.h"
#include "worker/sdk/job.h"

namespace quern::image {

struct ChannelStats {
  int min = 0;
  int max = 0;
  double sum = 0;
  double squares_sum = 0;
  double mean = 0;
  double stdev = 0;    // of a sample: divided by one less than there are pixels
  cv::Point min_at{};  // the first one, row by row
  cv::Point max_at{};
};

struct Stats {
  std::vector<ChannelStats> channels{};  // red, green, blue, and alpha where there is any
  bool opaque = true;                    // no pixel is transparent
  double entropy = 0;                    // of the luminances' histogram, in bits
  double sharpness = 0;                  // deviation of the luminance's Laplacian, divided by 9
  Color dominant{};
};

[[nodiscard]] Stats stats_of(const cv::Mat& picture, const sdk::Job& job);

// The middle of the most frequent of 16 x 16 x 16 ranges of colours. Invisible pixels count only if all are.
[[nodiscard]] Color dominant_color(const cv::Mat& picture, const sdk::Job& job);

}  // namespace quern::image
