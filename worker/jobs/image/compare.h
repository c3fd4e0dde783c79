// image.compare: how much two pictures of one size differ.
#pragma once

#include <opencv2/core/mat.hpp>
#include <optional>
#include <vector>

#include "worker/sdk/job.h"

namespace quern::image {

struct ChannelDifference {
  int max = 0;
  double mean = 0;  // of the absolute differences
  double mse = 0;
  double ssim = 1;
};

struct Difference {
  std::vector<ChannelDifference> channels{};  // red, green, blue, and alpha where either picture has any
  int max = 0;                                // over all channels
  double mean = 0;
  double mse = 0;
  double ssim = 1;  // of luma, which is what is usually quoted
  [[nodiscard]] bool none() const { return max == 0; }
};

// Both have one size. Where either has alpha, colours are compared as they look on black: what is invisible is equal.
[[nodiscard]] Difference compare(const cv::Mat& a, const cv::Mat& b, const sdk::Job& job);

// Decibels: 10 log10(255^2 / mse); nothing for pictures that are the same.
[[nodiscard]] std::optional<double> psnr_of(double mse);

// Structural similarity of two CV_8UC1 (Wang, Bovik, Sheikh and Simoncelli 2004): a Gaussian window of 11 x 11 with
// sigma 1.5, K1 0.01, K2 0.03; the mean over all places where the window lies inside. Pictures of less than 11 pixels a
// side are mirrored at their edges.
[[nodiscard]] double ssim_of(const cv::Mat& a, const cv::Mat& b, const sdk::Job& job);

}  // namespace quern::image
