#include "worker/jobs/image/stats.h"

#include <algorithm>
#include <array>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <cmath>
#include <iterator>
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>
#include <string_view>

#include "worker/jobs/image/input.h"
#include "worker/jobs/image/kinds.h"
#include "worker/jobs/image/lab.h"

namespace quern::image {
namespace {

namespace json = boost::json;

constexpr std::uint64_t kWorkingBytes = 3;  // luminance, and its Laplacian in 16 bits

constexpr std::string_view kChannelNames[] = {"red", "green", "blue", "alpha"};

double deviation(double sum, double squares_sum, double count) {
  if (count < 2) return 0;
  return std::sqrt(std::max(0.0, (squares_sum - sum * sum / count) / (count - 1)));
}

// Sums are exact: a picture's are below 2^53.
ChannelStats channel_stats(const cv::Mat& picture, int channel, const sdk::Job& job) {
  ChannelStats stats{.min = 255 + 1, .max = -1};
  const int channels = picture.channels();
  std::uint64_t sum = 0;
  std::uint64_t squares_sum = 0;
  for (int y = 0; y < picture.rows; ++y) {
    job.throw_if_cancelled();
    const auto* pixel = picture.ptr<std::uint8_t>(y) + channel;
    for (int x = 0; x < picture.cols; ++x, pixel += channels) {
      const std::uint32_t value = *pixel;
      sum += value;
      squares_sum += std::uint64_t{value} * value;
      if (*pixel < stats.min) {
        stats.min = *pixel;
        stats.min_at = {x, y};
      }
      if (*pixel > stats.max) {
        stats.max = *pixel;
        stats.max_at = {x, y};
      }
    }
  }
  const auto count = static_cast<double>(picture.total());
  stats.sum = static_cast<double>(sum);
  stats.squares_sum = static_cast<double>(squares_sum);
  stats.mean = stats.sum / count;
  stats.stdev = deviation(stats.sum, stats.squares_sum, count);
  return stats;
}

cv::Mat luminance(const cv::Mat& picture, const sdk::Job& job) {
  const int channels = picture.channels();
  cv::Mat out(picture.size(), CV_8UC1);
  for (int y = 0; y < picture.rows; ++y) {
    job.throw_if_cancelled();
    const auto* from = picture.ptr<std::uint8_t>(y);
    auto* to = out.ptr<std::uint8_t>(y);
    for (int x = 0; x < picture.cols; ++x, from += channels) to[x] = grey_of({from[0], from[1], from[2]});
  }
  return out;
}

double entropy_of(const cv::Mat& grey) {
  std::array<std::uint64_t, 256> histogram{};
  for (int y = 0; y < grey.rows; ++y) {
    const auto* row = grey.ptr<std::uint8_t>(y);
    for (int x = 0; x < grey.cols; ++x) ++histogram[row[x]];
  }
  double entropy = 0;
  for (const std::uint64_t count : histogram) {
    if (count == 0) continue;
    const double share = static_cast<double>(count) / static_cast<double>(grey.total());
    entropy -= share * std::log2(share);
  }
  return std::max(0.0, entropy);  // not -0
}

double sharpness_of(const cv::Mat& grey) {
  const cv::Mat kernel = (cv::Mat_<float>(3, 3) << 0, 1, 0, 1, -4, 1, 0, 1, 0);
  cv::Mat laplacian;
  cv::filter2D(grey, laplacian, CV_16S, kernel, {-1, -1}, 0, cv::BORDER_REPLICATE);
  const double sum = cv::sum(laplacian)[0];
  const double squares_sum = std::pow(cv::norm(laplacian, cv::NORM_L2), 2);
  return deviation(sum, squares_sum, static_cast<double>(grey.total())) / 9;
}

json::object json_of(const ChannelStats& stats, std::string_view name) {
  return {{"name", name},
          {"min", stats.min},
          {"max", stats.max},
          {"sum", static_cast<std::uint64_t>(stats.sum)},
          {"squares_sum", static_cast<std::uint64_t>(stats.squares_sum)},
          {"mean", stats.mean},
          {"stdev", stats.stdev},
          {"min_x", stats.min_at.x},
          {"min_y", stats.min_at.y},
          {"max_x", stats.max_at.x},
          {"max_y", stats.max_at.y}};
}

void run(sdk::Job& job) {
  const cv::Mat picture = first_pictures(job, kWorkingBytes).front();
  const Stats stats = stats_of(picture, job);
  json::array channels;
  for (std::size_t i = 0; i < stats.channels.size(); ++i) {
    channels.push_back(json_of(stats.channels[i], kChannelNames[i]));
  }
  const json::object document{
      {"width", picture.cols},
      {"height", picture.rows},
      {"channels", std::move(channels)},
      {"is_opaque", stats.opaque},
      {"entropy", stats.entropy},
      {"sharpness", stats.sharpness},
      {"dominant", json::object{{"r", stats.dominant.r}, {"g", stats.dominant.g}, {"b", stats.dominant.b}}}};
  job.output().write(json::serialize(document) + "\n");
}

}  // namespace

Stats stats_of(const cv::Mat& picture, const sdk::Job& job) {
  Stats stats;
  for (int c = 0; c < picture.channels(); ++c) stats.channels.push_back(channel_stats(picture, c, job));
  stats.opaque = stats.channels.size() < 4 || stats.channels[3].min == 255;
  const cv::Mat grey = luminance(picture, job);
  stats.entropy = entropy_of(grey);
  stats.sharpness = sharpness_of(grey);
  stats.dominant = dominant_color(picture, job);
  return stats;
}

Color dominant_color(const cv::Mat& picture, const sdk::Job& job) {
  constexpr std::size_t kBins = 16;
  std::vector<std::uint32_t> visible(kBins * kBins * kBins);
  std::vector<std::uint32_t> invisible(visible.size());
  const int channels = picture.channels();
  bool any_visible = false;
  for (int y = 0; y < picture.rows; ++y) {
    job.throw_if_cancelled();
    const auto* pixel = picture.ptr<std::uint8_t>(y);
    for (int x = 0; x < picture.cols; ++x, pixel += channels) {
      const std::size_t bin = (pixel[0] / kBins * kBins + pixel[1] / kBins) * kBins + pixel[2] / kBins;
      const bool seen = channels == 3 || pixel[3] > 0;
      any_visible = any_visible || seen;
      ++(seen ? visible : invisible)[bin];
    }
  }
  const auto& bins = any_visible ? visible : invisible;
  const auto most = static_cast<std::size_t>(std::ranges::max_element(bins) - bins.begin());
  const auto middle = [](std::size_t bin) { return static_cast<std::uint8_t>(bin * 16 + 8); };
  return {.r = middle(most / kBins / kBins), .g = middle(most / kBins % kBins), .b = middle(most % kBins)};
}

sdk::Kind stats_kind() {
  sdk::Kind kind;
  kind.name = "image.stats";
  kind.summary = "Measures a picture: its channels, entropy, sharpness, dominant colour";
  kind.params = input_specs();
  kind.input = {.parts_min = 1, .parts_max = 1, .help = "a picture"};
  kind.output = "a JSON object";
  kind.output_suffix = ".json";
  kind.run = run;
  return kind;
}

}  // namespace quern::image
