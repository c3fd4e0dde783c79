#include <algorithm>
#include <cmath>
#include <numeric>

#include "worker/jobs/image/operations/arguments.h"
#include "worker/jobs/image/operations/families.h"
#include "worker/jobs/image/operations/filter.h"

namespace quern::image {
namespace {

OperationKind blur_kind() {
  return {.spec = {.name = "blur",
                   .help = "Blurs; without sigma mildly and fast",
                   .params = {number_param("sigma", "of a Gaussian, in pixels", 0.3, 1000, nullptr)}},
          .make = [](const Arguments& arguments) {
            if (!arguments.has("sigma"))
              return stateless([](const cv::Mat& picture, Context& context) { return blur(picture, context.job); });
            return stateless([sigma = arguments.number("sigma")](const cv::Mat& picture, Context& context) {
              return blur(picture, sigma, context.job);
            });
          }};
}

OperationKind sharpen_kind() {
  constexpr double kAnyMax = 1e6;
  return {
      .spec = {.name = "sharpen",
               .help = "Sharpens lightness; without sigma mildly and fast",
               .params = {number_param("sigma", "of a Gaussian, in pixels: how wide edges are", 0.000001, 10, nullptr),
                          number_param("m1", "how much in flat areas", 0, kAnyMax, 1),
                          number_param("m2", "how much at edges", 0, kAnyMax, 2),
                          number_param("x1", "where edges begin, in L*", 0, kAnyMax, 2),
                          number_param("y2", "how much lighter at most, in L*", 0, kAnyMax, 10),
                          number_param("y3", "how much darker at most, in L*", 0, kAnyMax, 20)}},
      .make = [](const Arguments& arguments) {
        if (!arguments.has("sigma")) {
          return stateless([](const cv::Mat& picture, Context& context) { return sharpen(picture, context.job); });
        }
        const SharpenOptions options{.sigma = arguments.number("sigma"),
                                     .m1 = arguments.number("m1"),
                                     .m2 = arguments.number("m2"),
                                     .x1 = arguments.number("x1"),
                                     .y2 = arguments.number("y2"),
                                     .y3 = arguments.number("y3")};
        return stateless(
            [options](const cv::Mat& picture, Context& context) { return sharpen(picture, options, context.job); });
      }};
}

OperationKind median_kind() {
  return {.spec = {.name = "median",
                   .help = "Takes the middle of each pixel's neighbours",
                   .params = {whole_param("size", "of the square, in pixels; odd", 1, 255, 3)}},
          .make = [](const Arguments& arguments) {
            const int size = arguments.integer("size");
            if (size % 2 == 0) arguments.refuse("size", "must be odd");
            return stateless(
                [size](const cv::Mat& picture, Context& context) { return median(picture, size, context.job); });
          }};
}

ConvolutionKernel kernel_of(const Arguments& arguments) {
  ConvolutionKernel kernel{.width = arguments.integer("width"),
                           .height = arguments.integer("height"),
                           .weights = arguments.numbers("kernel"),
                           .offset = arguments.number("offset")};
  if (kernel.weights.size() != static_cast<std::size_t>(kernel.width) * static_cast<std::size_t>(kernel.height)) {
    arguments.refuse("kernel", "must have width x height numbers");
  }
  const double sum = std::accumulate(kernel.weights.begin(), kernel.weights.end(), 0.0);
  kernel.scale = arguments.has("scale") ? arguments.number("scale") : std::max(1.0, sum);
  if (std::abs(kernel.scale) < 1e-9) arguments.refuse("scale", "must not be 0");
  constexpr double kGainMax = 1e6;  // times 255 it is still an int
  const double gain = std::accumulate(kernel.weights.begin(), kernel.weights.end(), 0.0,
                                      [](double all, double each) { return all + std::abs(each); });
  if (gain > kGainMax * std::abs(kernel.scale)) arguments.refuse("kernel", "weighs over a million times its scale");
  return kernel;
}

OperationKind convolve_kind() {
  constexpr double kSideMax = 101;
  return {
      .spec = {.name = "convolve",
               .help = "Weighs each pixel's neighbours",
               .params = {required(whole_param("width", "of the kernel", 1, kSideMax, nullptr)),
                          required(whole_param("height", "of the kernel", 1, kSideMax, nullptr)),
                          required(numbers_param("kernel", "weights, row by row", 1, kSideMax * kSideMax, nullptr)),
                          number_param("scale", "the sum is divided by it; when absent the weights' sum, at least 1",
                                       -1e9, 1e9, nullptr),
                          number_param("offset", "is added then", -1e6, 1e6, 0)}},
      .make = [](const Arguments& arguments) {
        return stateless([kernel = kernel_of(arguments)](const cv::Mat& picture, Context& context) {
          return convolve(picture, kernel, context.job);
        });
      }};
}

OperationKind morphology_kind(const char* name, const char* help,
                              cv::Mat (*function)(const cv::Mat&, int, const sdk::Job&)) {
  return {.spec = {.name = name, .help = help, .params = {whole_param("width", "pixels each way", 1, 100, 1)}},
          .make = [function](const Arguments& arguments) {
            return stateless([function, width = arguments.integer("width")](const cv::Mat& picture, Context& context) {
              return function(picture, width, context.job);
            });
          }};
}

}  // namespace

std::vector<OperationKind> filter_operations() {
  return {blur_kind(),
          sharpen_kind(),
          median_kind(),
          convolve_kind(),
          morphology_kind("dilate", "Grows what is light", dilate),
          morphology_kind("erode", "Grows what is dark", erode)};
}

}  // namespace quern::image
