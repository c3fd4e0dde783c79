#include "worker/jobs/image/compare.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>
#include <string_view>
#include <vector>

#include "worker/jobs/image/alpha.h"
#include "worker/jobs/image/input.h"
#include "worker/jobs/image/kinds.h"

namespace quern::image {
namespace {

namespace json = boost::json;

// Both on black, with alpha; one of them as RGBA before that; then a channel of each.
constexpr std::uint64_t kWorkingBytes = 12;

constexpr std::string_view kChannelNames[] = {"red", "green", "blue", "alpha"};
constexpr int kWindow = 11;
constexpr int kReach = kWindow / 2;
// A dozen numbers of 8 bytes a pixel are held at once: of a tile, whatever the picture's shape.
constexpr int kTileSide = 128;

// Colour times alpha, and alpha.
cv::Mat on_black(const cv::Mat& picture) {
  cv::Mat out = ensure_alpha(flatten(picture, Color{}));
  if (picture.channels() == 4) cv::insertChannel(channel_of(picture, 3), out, 3);
  return out;
}

cv::Mat luma_of(const cv::Mat& picture) {
  cv::Mat out;
  cv::cvtColor(picture, out, picture.channels() == 4 ? cv::COLOR_RGBA2GRAY : cv::COLOR_RGB2GRAY);
  return out;
}

cv::Mat weighted(const cv::Mat& values) {
  const cv::Mat kernel = cv::getGaussianKernel(kWindow, 1.5, CV_64F);
  cv::Mat out;
  cv::sepFilter2D(values, out, CV_64F, kernel, kernel, {-1, -1}, 0, cv::BORDER_REFLECT_101);
  return out;
}

// At each pixel; those near the edges see mirrored ones.
cv::Mat similarity(const cv::Mat& a8, const cv::Mat& b8) {
  constexpr double kC1 = (0.01 * 255) * (0.01 * 255);
  constexpr double kC2 = (0.03 * 255) * (0.03 * 255);
  cv::Mat a;
  cv::Mat b;
  a8.convertTo(a, CV_64F);
  b8.convertTo(b, CV_64F);
  const cv::Mat mean_a = weighted(a);
  const cv::Mat mean_b = weighted(b);
  const cv::Mat product = mean_a.mul(mean_b);
  const cv::Mat squares = mean_a.mul(mean_a) + mean_b.mul(mean_b);
  const cv::Mat covariance = weighted(a.mul(b)) - product;
  const cv::Mat variances = weighted(a.mul(a) + b.mul(b)) - squares;
  const cv::Mat above = (2 * product + kC1).mul(2 * covariance + kC2);
  const cv::Mat below = (squares + kC1).mul(variances + kC2);
  return above / below;
}

cv::Rect with_reach(const cv::Rect& tile) {
  return {tile.x - kReach, tile.y - kReach, tile.width + 2 * kReach, tile.height + 2 * kReach};
}

ChannelDifference channel_difference(const cv::Mat& a, const cv::Mat& b, const sdk::Job& job) {
  ChannelDifference difference;
  std::uint64_t sum = 0;
  std::uint64_t squares_sum = 0;
  for (int y = 0; y < a.rows; ++y) {
    const auto* left = a.ptr<std::uint8_t>(y);
    const auto* right = b.ptr<std::uint8_t>(y);
    for (int x = 0; x < a.cols; ++x) {
      const int apart = std::abs(left[x] - right[x]);
      difference.max = std::max(difference.max, apart);
      sum += static_cast<std::uint64_t>(apart);
      squares_sum += static_cast<std::uint64_t>(apart) * static_cast<std::uint64_t>(apart);
    }
  }
  const auto count = static_cast<double>(a.total());
  difference.mean = static_cast<double>(sum) / count;
  difference.mse = static_cast<double>(squares_sum) / count;
  difference.ssim = difference.max == 0 ? 1 : ssim_of(a, b, job);
  return difference;
}

json::value psnr_json(double mse) {
  const auto psnr = psnr_of(mse);
  return psnr ? json::value(*psnr) : json::value(nullptr);
}

void run(sdk::Job& job) {
  const std::vector<cv::Mat> pictures = first_pictures(job, kWorkingBytes);
  const cv::Mat& a = pictures[0];
  const cv::Mat& b = pictures[1];
  if (a.size() != b.size()) {
    throw sdk::JobError(sdk::JobErrorCode::kBadInput,
                        fmt::format("the pictures differ in size: the first has {} x {} pixels, the second {} x {}",
                                    a.cols, a.rows, b.cols, b.rows));
  }
  const Difference difference = compare(a, b, job);
  json::array channels;
  for (std::size_t i = 0; i < difference.channels.size(); ++i) {
    const ChannelDifference& each = difference.channels[i];
    channels.push_back(json::object{{"name", kChannelNames[i]},
                                    {"max_difference", each.max},
                                    {"mean_difference", each.mean},
                                    {"mse", each.mse},
                                    {"psnr", psnr_json(each.mse)},
                                    {"ssim", each.ssim}});
  }
  const json::object document{{"width", a.cols},
                              {"height", a.rows},
                              {"identical", difference.none()},
                              {"max_difference", difference.max},
                              {"mean_difference", difference.mean},
                              {"mse", difference.mse},
                              {"psnr", psnr_json(difference.mse)},
                              {"ssim", difference.ssim},
                              {"channels", std::move(channels)}};
  job.output().write(json::serialize(document) + "\n");
}

}  // namespace

Difference compare(const cv::Mat& a, const cv::Mat& b, const sdk::Job& job) {
  const bool alpha = a.channels() == 4 || b.channels() == 4;
  const cv::Mat left = alpha ? on_black(a) : a;
  const cv::Mat right = alpha ? on_black(b) : b;
  Difference difference;
  for (int c = 0; c < left.channels(); ++c) {
    job.throw_if_cancelled();
    const ChannelDifference each = channel_difference(channel_of(left, c), channel_of(right, c), job);
    difference.max = std::max(difference.max, each.max);
    difference.mean += each.mean / left.channels();
    difference.mse += each.mse / left.channels();
    difference.channels.push_back(each);
  }
  difference.ssim = difference.none() ? 1 : ssim_of(luma_of(left), luma_of(right), job);
  return difference;
}

std::optional<double> psnr_of(double mse) {
  if (mse <= 0) return std::nullopt;
  return 10 * std::log10(255.0 * 255.0 / mse);
}

double ssim_of(const cv::Mat& a, const cv::Mat& b, const sdk::Job& job) {
  const cv::Rect whole({}, a.size());
  const bool is_small = a.rows < kWindow || a.cols < kWindow;
  const cv::Rect places = is_small ? whole : cv::Rect(kReach, kReach, a.cols - 2 * kReach, a.rows - 2 * kReach);
  double sum = 0;
  for (int y = places.y; y < places.br().y; y += kTileSide) {
    for (int x = places.x; x < places.br().x; x += kTileSide) {
      job.throw_if_cancelled();
      const cv::Rect tile = cv::Rect(x, y, kTileSide, kTileSide) & places;
      const cv::Rect seen = with_reach(tile) & whole;
      sum += cv::sum(similarity(a(seen), b(seen))(tile - seen.tl()))[0];
    }
  }
  return sum / static_cast<double>(places.area());
}

sdk::Kind compare_kind() {
  sdk::Kind kind;
  kind.name = "image.compare";
  kind.summary = "Measures how much two pictures differ: PSNR, SSIM, differences";
  kind.params = input_specs();
  kind.input = {.parts_min = 2, .parts_max = 2, .help = "two pictures of one size"};
  kind.output = "a JSON object";
  kind.output_suffix = ".json";
  kind.run = run;
  return kind;
}

}  // namespace quern::image
