#include "worker/jobs/image/placeholder.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/archive/iterators/base64_from_binary.hpp>
#include <boost/archive/iterators/transform_width.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <cmath>
#include <cstdint>
#include <opencv2/core.hpp>
#include <string_view>
#include <vector>

#include "worker/jobs/image/alpha.h"
#include "worker/jobs/image/codec.h"
#include "worker/jobs/image/encode_params.h"
#include "worker/jobs/image/input.h"
#include "worker/jobs/image/kinds.h"
#include "worker/jobs/image/memory_output.h"
#include "worker/jobs/image/resize.h"
#include "worker/jobs/image/srgb.h"
#include "worker/jobs/image/stats.h"
#include "worker/jobs/image/yuv.h"

namespace quern::image {
namespace {

namespace json = boost::json;

constexpr std::uint64_t kWorkingBytes = 4;  // a copy without alpha, and what is resampled

constexpr std::string_view kDigits =
    "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz#$%*+,-.:;=?@[]^_{|}~";

std::string base83(int value, int length) {
  std::string text(static_cast<std::size_t>(length), '0');
  for (auto digit = text.rbegin(); digit != text.rend(); ++digit, value /= 83) {
    *digit = kDigits[static_cast<std::size_t>(value % 83)];
  }
  return text;
}

int srgb_byte(double linear) {
  return static_cast<int>(std::lround(srgb_of_linear(std::clamp(linear, 0.0, 1.0)) * 255));
}

using LinearRgb = std::array<double, 3>;

// cos(pi wave at / length), for each wave and each place.
std::vector<double> waves_of(int waves, int length) {
  std::vector<double> table;
  table.reserve(static_cast<std::size_t>(waves) * static_cast<std::size_t>(length));
  for (int at = 0; at < length; ++at) {
    for (int wave = 0; wave < waves; ++wave) table.push_back(std::cos(CV_PI * wave * at / length));
  }
  return table;
}

// The waves' amplitudes, row by row. Summed a row of pixels at a time: a pixel costs as much as there are waves across.
std::vector<LinearRgb> amplitudes(const cv::Mat& picture, BlurHashSize size, const sdk::Job& job) {
  std::array<double, 256> linear{};
  for (std::size_t i = 0; i < linear.size(); ++i) linear[i] = linear_of_srgb(static_cast<double>(i) / 255);
  const std::vector<double> across = waves_of(size.across, picture.cols);
  const std::vector<double> down = waves_of(size.down, picture.rows);
  const auto waves = static_cast<std::size_t>(size.across);
  std::vector<LinearRgb> sums(waves * static_cast<std::size_t>(size.down));
  std::vector<LinearRgb> row_sums(waves);
  for (int y = 0; y < picture.rows; ++y) {
    job.throw_if_cancelled();
    std::ranges::fill(row_sums, LinearRgb{});
    const auto* pixels = picture.ptr<cv::Vec3b>(y);
    const double* wave = across.data();
    for (int x = 0; x < picture.cols; ++x, wave += waves) {
      const LinearRgb color{linear[pixels[x][0]], linear[pixels[x][1]], linear[pixels[x][2]]};
      for (std::size_t i = 0; i < waves; ++i) {
        for (std::size_t c = 0; c < 3; ++c) row_sums[i][c] += wave[i] * color[c];
      }
    }
    for (std::size_t i = 0; i < sums.size(); ++i) {
      const double share = down[static_cast<std::size_t>(y * size.down) + i / waves];
      for (std::size_t c = 0; c < 3; ++c) sums[i][c] += share * row_sums[i % waves][c];
    }
  }
  for (std::size_t i = 0; i < sums.size(); ++i) {
    for (double& sum : sums[i]) sum *= (i == 0 ? 1 : 2) / static_cast<double>(picture.total());
  }
  return sums;
}

// -1 to 1, in 19 steps that are finer near 0.
int quantised(double share) {
  const double root = std::copysign(std::sqrt(std::abs(share)), share);
  return static_cast<int>(std::clamp(std::floor(root * 9 + 9.5), 0.0, 18.0));
}

std::string base64(Bytes bytes) {
  using boost::archive::iterators::base64_from_binary;
  using boost::archive::iterators::transform_width;
  const auto* first = reinterpret_cast<const char*>(bytes.data());
  using Digits = base64_from_binary<transform_width<const char*, 6, 8>>;
  std::string text(Digits(first), Digits(first + bytes.size()));
  text.append((3 - bytes.size() % 3) % 3, '=');
  return text;
}

// The picture with its longer side at `side`, as a WebP that a page can hold itself.
std::string data_uri(const cv::Mat& picture, std::uint32_t side, const sdk::Job& job) {
  constexpr int kQuality = 40;
  std::optional<Place> place;
  const Picture small =
      resize({.picture = picture, .whole = sides_of(picture.size()), .decoded = picture.size()},
             {.asked = {side, side}, .fit = Fit::kInside, .scaling = {.enlarge = false}}, {}, place, job);
  const auto encoder = make_encoder({.format = Format::kWebp, .quality = kQuality}, job);
  encoder->add({.picture = small});
  MemoryOutput output;
  encoder->finish(output);
  return "data:image/webp;base64," + base64(output.bytes());
}

std::string json_of(const cv::Mat& picture, const PlaceholderOptions& options, const sdk::Job& job) {
  const Color dominant = dominant_color(picture, job);
  const json::object document{{"width", picture.cols},
                              {"height", picture.rows},
                              {"blurhash", blur_hash(picture, options.blurhash, job)},
                              {"data_uri", data_uri(picture, options.side, job)},
                              {"dominant", fmt::format("#{:02x}{:02x}{:02x}", dominant.r, dominant.g, dominant.b)}};
  return json::serialize(document) + "\n";
}

class PlaceholderEncoder final : public Encoder {
 public:
  PlaceholderEncoder(const PlaceholderOptions& options, const sdk::Job& job) : options_(options), job_(job) {}
  void add(const Frame& frame) override { json_ = json_of(to_rgb(frame.picture), options_, job_); }
  void finish(sdk::Output& output) override { output.write(json_); }

 private:
  PlaceholderOptions options_;
  const sdk::Job& job_;
  std::string json_{};
};

void run(sdk::Job& job) {
  const PlaceholderOptions options = placeholder_options(job.params());
  job.output().write(json_of(first_pictures(job, kWorkingBytes).front(), options, job));
}

sdk::ParamSpec whole(const char* name, const char* help, std::int64_t fallback, int max) {
  return {.name = name,
          .type = sdk::ParamType::kInteger,
          .help = help,
          .fallback = fallback,
          .min = 1,
          .max = static_cast<double>(max)};
}

}  // namespace

std::string blur_hash(const cv::Mat& picture, BlurHashSize size, const sdk::Job& job) {
  constexpr Color kWhite{.r = 255, .g = 255, .b = 255};
  const std::vector<LinearRgb> waves = amplitudes(flatten(picture, kWhite), size, job);
  double largest = 0;
  for (std::size_t i = 1; i < waves.size(); ++i) {
    for (const double each : waves[i]) largest = std::max(largest, std::abs(each));
  }
  const int steps = static_cast<int>(std::clamp(std::floor(largest * 166 - 0.5), 0.0, 82.0));
  const double unit = waves.size() > 1 ? (steps + 1) / 166.0 : 1;
  std::string hash = base83(size.across - 1 + (size.down - 1) * 9, 1) + base83(waves.size() > 1 ? steps : 0, 1);
  hash += base83((srgb_byte(waves[0][0]) << 16) + (srgb_byte(waves[0][1]) << 8) + srgb_byte(waves[0][2]), 4);
  for (std::size_t i = 1; i < waves.size(); ++i) {
    const LinearRgb& wave = waves[i];
    hash += base83((quantised(wave[0] / unit) * 19 + quantised(wave[1] / unit)) * 19 + quantised(wave[2] / unit), 2);
  }
  return hash;
}

std::unique_ptr<Encoder> make_placeholder_encoder(const PlaceholderOptions& options, const sdk::Job& job) {
  return std::make_unique<PlaceholderEncoder>(options, job);
}

sdk::Kind placeholder_kind() {
  sdk::Kind kind;
  kind.name = "image.placeholder";
  kind.summary = "What to show before a picture is there: its BlurHash, dominant colour, and itself very small";
  kind.params = input_specs();
  const PlaceholderOptions absent;
  kind.params.push_back(whole("components_x", "of the BlurHash, across", absent.blurhash.across, kBlurHashWavesMax));
  kind.params.push_back(whole("components_y", "of the BlurHash, down", absent.blurhash.down, kBlurHashWavesMax));
  kind.params.push_back(whole("side", "of the longer side of data_uri, in pixels", absent.side, kPlaceholderSideMax));
  kind.input = {.parts_min = 1, .parts_max = 1, .help = "a picture"};
  kind.output = "a JSON object";
  kind.output_suffix = ".json";
  kind.run = run;
  return kind;
}

}  // namespace quern::image
