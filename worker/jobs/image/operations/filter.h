// Operations that make a pixel from its neighbours. At the edges the outermost pixels go on for ever. Alpha is
// premultiplied meanwhile. Large pictures are worked on in strips, and the job is polled in between.
#pragma once

#include <opencv2/core/mat.hpp>
#include <vector>

#include "worker/sdk/job.h"

namespace quern::image {

// The mean of 3 x 3 pixels: fast and mild.
[[nodiscard]] cv::Mat blur(const cv::Mat& picture, const sdk::Job& job);
// Gaussian; 0.3 to 1000 pixels. Wide ones are computed on a reduced picture: the cost does not grow with sigma.
[[nodiscard]] cv::Mat blur(const cv::Mat& picture, double sigma, const sdk::Job& job);

// Of `size` x `size` pixels, an odd number of at most 255.
[[nodiscard]] cv::Mat median(const cv::Mat& picture, int size, const sdk::Job& job);

// Fast and mild: the picture and a third of what a 3 x 3 mean takes from it.
[[nodiscard]] cv::Mat sharpen(const cv::Mat& picture, const sdk::Job& job);

// As libvips sharpens: of L*, in CIE Lab. What a Gaussian of `sigma` takes away is added again, times `m1` as long as
// it is less than `x1` (flat areas), and `m2` beyond it (edges), up to `y2` lighter and `y3` darker.
struct SharpenOptions {
  double sigma = 1;
  double m1 = 1;
  double m2 = 2;
  double x1 = 2;
  double y2 = 10;
  double y3 = 20;
};
[[nodiscard]] cv::Mat sharpen(const cv::Mat& picture, const SharpenOptions& options, const sdk::Job& job);

// Correlation: kernel's rows from the top, its middle on the pixel; sum / scale + offset. Alpha is weighed alike,
// without the offset; a kernel whose sum is 0 leaves alpha as it is.
struct ConvolutionKernel {
  int width = 0;
  int height = 0;
  std::vector<double> weights{};
  double scale = 1;
  double offset = 0;
};
[[nodiscard]] cv::Mat convolve(const cv::Mat& picture, const ConvolutionKernel& kernel, const sdk::Job& job);

// The lightest, or darkest, of (2 width + 1) squared pixels, channel by channel.
[[nodiscard]] cv::Mat dilate(const cv::Mat& picture, int width, const sdk::Job& job);
[[nodiscard]] cv::Mat erode(const cv::Mat& picture, int width, const sdk::Job& job);

}  // namespace quern::image
