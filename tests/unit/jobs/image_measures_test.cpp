// image.stats, image.compare, image.placeholder: against what can be worked out by hand, or by slow and plain code.
#include <algorithm>
#include <boost/json/parse.hpp>
#include <cmath>
#include <random>

#include "tests/unit/jobs/operations.h"
#include "tests/unit/jobs/pictures.h"
#include "worker/jobs/image/compare.h"
#include "worker/jobs/image/placeholder.h"
#include "worker/jobs/image/stats.h"

namespace quern::image {
namespace {

namespace json = boost::json;
using sdk::FakeJob;
using sdk::find_kind;
using testing::HasSubstr;

const FakeJob& idle_job() {
  static const FakeJob job(operations_kind(), "{}");
  return job;
}

cv::Mat noise(int width, int height, unsigned seed, int type = CV_8UC3) {
  cv::Mat out(height, width, type);
  std::mt19937 random(seed);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width * out.channels(); ++x) out.ptr<std::uint8_t>(y)[x] = static_cast<std::uint8_t>(random());
  }
  return out;
}

json::object answer_of(const char* kind, const std::vector<File>& inputs, std::string_view params = "{}") {
  FakeJob job(find_kind(kind), params);
  for (const File& input : inputs) job.add_input(input);
  job.run();
  return json::parse(job.text()).as_object();
}

// ---- Stats -------------------------------------------------------------------------------------------

TEST(ImageStats, OfEachChannel) {
  cv::Mat picture = one_color(2, 2, {10, 20, 30});
  picture.at<cv::Vec3b>(1, 0) = {50, 0, 30};
  const Stats stats = stats_of(picture, idle_job());
  ASSERT_EQ(stats.channels.size(), 3U);
  const ChannelStats& red = stats.channels[0];
  EXPECT_EQ(red.min, 10);
  EXPECT_EQ(red.max, 50);
  EXPECT_EQ(red.sum, 80);
  EXPECT_EQ(red.squares_sum, 2800);
  EXPECT_EQ(red.mean, 20);
  EXPECT_DOUBLE_EQ(red.stdev, 20) << "(3 * 100 + 900) / 3 is 400";
  EXPECT_EQ(red.min_at, cv::Point(0, 0));
  EXPECT_EQ(red.max_at, cv::Point(0, 1));
  EXPECT_EQ(stats.channels[1].min, 0);
  EXPECT_EQ(stats.channels[2].stdev, 0);
  EXPECT_TRUE(stats.opaque);
}

TEST(ImageStats, SeeTransparency) {
  cv::Mat picture = one_color_alpha(2, 2, {1, 2, 3, 255});
  EXPECT_TRUE(stats_of(picture, idle_job()).opaque);
  picture.at<cv::Vec4b>(1, 1)[3] = 254;
  const Stats stats = stats_of(picture, idle_job());
  EXPECT_FALSE(stats.opaque);
  ASSERT_EQ(stats.channels.size(), 4U);
  EXPECT_EQ(stats.channels[3].min, 254);
}

TEST(ImageStats, EntropyIsBitsOfLuminance) {
  EXPECT_EQ(stats_of(one_color(8, 8, {9, 99, 9}), idle_job()).entropy, 0);
  EXPECT_DOUBLE_EQ(stats_of(greys({{0, 255}, {0, 255}}), idle_job()).entropy, 1);
  EXPECT_DOUBLE_EQ(stats_of(greys({{0, 80, 160, 240}}), idle_job()).entropy, 2);
}

TEST(ImageStats, SharpnessIsTheDeviationOfTheLaplacian) {
  EXPECT_EQ(stats_of(one_color(8, 8, {9, 99, 9}), idle_job()).sharpness, 0);
  // edges go on: 0 - 4 * 0 + 90 is 90 at the second, -90 at the third, 0 at the others
  EXPECT_NEAR(stats_of(greys({{0, 0, 90, 90}}), idle_job()).sharpness, std::sqrt(2 * 8100.0 / 3) / 9, 1e-9);
  EXPECT_EQ(stats_of(one_color(1, 1, {9, 99, 9}), idle_job()).sharpness, 0);
}

TEST(ImageStats, TheDominantColorIsTheMiddleOfItsRange) {
  cv::Mat picture = one_color(10, 10, {200, 100, 50});
  picture.rowRange(0, 4).setTo(cv::Scalar(0, 0, 255));
  EXPECT_EQ(dominant_color(picture, idle_job()), (Color{200, 104, 56}));
  cv::Mat hidden = one_color_alpha(10, 10, {0, 255, 0, 0});
  EXPECT_EQ(dominant_color(hidden, idle_job()), (Color{8, 248, 8}));
  hidden.at<cv::Vec4b>(0, 0) = {255, 0, 0, 1};
  EXPECT_EQ(dominant_color(hidden, idle_job()), (Color{248, 8, 8})) << "all the others are invisible";
}

TEST(ImageStats, IsAJobWhoseResultIsJson) {
  const auto answer = answer_of("image.stats", {file_of(one_color(3, 2, {255, 0, 0}), Format::kPng)});
  EXPECT_EQ(answer.at("width"), 3);
  EXPECT_EQ(answer.at("height"), 2);
  EXPECT_EQ(answer.at("channels").as_array().size(), 3U);
  EXPECT_EQ(answer.at("channels").at(0).at("name"), "red");
  EXPECT_EQ(answer.at("channels").at(0).at("max"), 255);
  EXPECT_EQ(answer.at("is_opaque"), true);
  EXPECT_EQ(answer.at("dominant"), (json::object{{"r", 248}, {"g", 8}, {"b", 8}}));
}

// ---- Compare -----------------------------------------------------------------------------------------

TEST(ImageCompare, EqualPicturesHaveNoPsnr) {
  const cv::Mat picture = noise(30, 20, 1);
  const Difference difference = compare(picture, picture.clone(), idle_job());
  EXPECT_TRUE(difference.none());
  EXPECT_EQ(difference.ssim, 1);
  EXPECT_EQ(difference.mse, 0);
  EXPECT_FALSE(psnr_of(difference.mse));
}

TEST(ImageCompare, CountsDifferences) {
  const Difference difference =
      compare(one_color(20, 20, {100, 100, 100}), one_color(20, 20, {105, 100, 90}), idle_job());
  EXPECT_EQ(difference.max, 10);
  EXPECT_DOUBLE_EQ(difference.mean, 5);
  EXPECT_DOUBLE_EQ(difference.mse, 125.0 / 3);
  EXPECT_EQ(difference.channels[0].max, 5);
  EXPECT_DOUBLE_EQ(difference.channels[2].mse, 100);
  EXPECT_NEAR(psnr_of(25).value_or(0), 34.1514, 1e-4);
  EXPECT_NEAR(psnr_of(255.0 * 255).value_or(-1), 0, 1e-12);
}

TEST(ImageCompare, SsimOfFlatPicturesIsThatOfTheirMeans) {
  const double c1 = 2.55 * 2.55;
  const cv::Mat a(20, 20, CV_8UC1, cv::Scalar(100));
  const cv::Mat b(20, 20, CV_8UC1, cv::Scalar(150));
  EXPECT_NEAR(ssim_of(a, b, idle_job()), (2.0 * 100 * 150 + c1) / (100.0 * 100 + 150 * 150 + c1), 1e-9);
  const cv::Mat small_a(3, 4, CV_8UC1, cv::Scalar(100));
  const cv::Mat small_b(3, 4, CV_8UC1, cv::Scalar(150));
  EXPECT_NEAR(ssim_of(small_a, small_b, idle_job()), ssim_of(a, b, idle_job()), 1e-9);
}

// The definition, window by window.
double plain_ssim(const cv::Mat& a, const cv::Mat& b) {
  constexpr int kReach = 5;
  double weights[11][11];
  double all = 0;
  for (int y = -kReach; y <= kReach; ++y) {
    for (int x = -kReach; x <= kReach; ++x) all += weights[y + kReach][x + kReach] = std::exp(-(x * x + y * y) / 4.5);
  }
  double sum = 0;
  int places = 0;
  for (int y = kReach; y < a.rows - kReach; ++y) {
    for (int x = kReach; x < a.cols - kReach; ++x) {
      double mean_a = 0;
      double mean_b = 0;
      double aa = 0;
      double bb = 0;
      double ab = 0;
      for (int j = -kReach; j <= kReach; ++j) {
        for (int i = -kReach; i <= kReach; ++i) {
          const double weight = weights[j + kReach][i + kReach] / all;
          const double p = a.at<std::uint8_t>(y + j, x + i);
          const double q = b.at<std::uint8_t>(y + j, x + i);
          mean_a += weight * p;
          mean_b += weight * q;
          aa += weight * p * p;
          bb += weight * q * q;
          ab += weight * p * q;
        }
      }
      const double c1 = 6.5025;
      const double c2 = 58.5225;
      sum += (2 * mean_a * mean_b + c1) * (2 * (ab - mean_a * mean_b) + c2) /
             ((mean_a * mean_a + mean_b * mean_b + c1) * (aa - mean_a * mean_a + bb - mean_b * mean_b + c2));
      ++places;
    }
  }
  return sum / places;
}

TEST(ImageCompare, SsimIsWhatTheDefinitionSays) {
  const cv::Mat a = noise(40, 300, 2, CV_8UC1);  // more rows than are taken at once
  cv::Mat b = a.clone();
  cv::Mat more = noise(40, 300, 3, CV_8UC1) / 4;
  b += more;
  EXPECT_NEAR(ssim_of(a, b, idle_job()), plain_ssim(a, b), 1e-9);
  EXPECT_LT(ssim_of(a, noise(40, 300, 4, CV_8UC1), idle_job()), 0.1) << "of nothing in common";
}

TEST(ImageCompare, SsimIsTheSameWhateverTheShape) {
  for (const cv::Size size : {cv::Size(300, 11), cv::Size(11, 300), cv::Size(139, 400), cv::Size(700, 150)}) {
    const cv::Mat a = noise(size.width, size.height, 2, CV_8UC1);
    const cv::Mat b = a + noise(size.width, size.height, 3, CV_8UC1) / 4;
    EXPECT_NEAR(ssim_of(a, b, idle_job()), plain_ssim(a, b), 1e-9) << size;
    EXPECT_NEAR(ssim_of(a.t(), b.t(), idle_job()), plain_ssim(a, b), 1e-9) << size;
  }
  // too small for a window inside: mirrored at its own edges, and only there
  const cv::Mat a = noise(300, 7, 2, CV_8UC1);
  const cv::Mat b = a + noise(300, 7, 3, CV_8UC1) / 4;
  cv::Mat wide_a;
  cv::Mat wide_b;
  cv::copyMakeBorder(a, wide_a, 5, 5, 5, 5, cv::BORDER_REFLECT_101);
  cv::copyMakeBorder(b, wide_b, 5, 5, 5, 5, cv::BORDER_REFLECT_101);
  EXPECT_NEAR(ssim_of(a, b, idle_job()), plain_ssim(wide_a, wide_b), 1e-9);
}

// What is worked on at once is bounded by pixels: a wide picture is neither slower nor larger than a square one, nor
// deaf for longer.
TEST(ImageCompare, LooksWhetherItIsCancelledAsOftenInWidePictures) {
  for (const cv::Size size : {cv::Size(65'000, 30), cv::Size(65'000, 8), cv::Size(30, 65'000)}) {
    const cv::Mat a = noise(size.width, size.height, 2, CV_8UC1);
    const FakeJob job(operations_kind(), "{}");
    (void)ssim_of(a, a + 1, job);
    EXPECT_GE(job.polls, static_cast<std::size_t>(size.area()) / (1U << 15)) << size;
  }
}

TEST(ImageCompare, WhatIsInvisibleIsEqual) {
  const cv::Mat green = one_color_alpha(12, 12, {0, 255, 0, 0});
  const cv::Mat red = one_color_alpha(12, 12, {255, 0, 0, 0});
  EXPECT_TRUE(compare(green, red, idle_job()).none());
  const Difference difference = compare(one_color(12, 12, {0, 0, 0}), green, idle_job());
  EXPECT_EQ(difference.channels.size(), 4U);
  EXPECT_EQ(difference.channels[3].max, 255);
}

TEST(ImageCompare, IsAJobOfTwoPictures) {
  const File a = file_of(one_color(16, 16, {100, 100, 100}), Format::kPng);
  const File b = file_of(one_color(16, 16, {110, 100, 100}), Format::kPng);
  const auto answer = answer_of("image.compare", {a, b});
  EXPECT_EQ(answer.at("identical"), false);
  EXPECT_EQ(answer.at("max_difference"), 10);
  EXPECT_EQ(answer.at("channels").as_array().size(), 3U);
  EXPECT_EQ(answer.at("channels").at(1).at("psnr"), nullptr);
  EXPECT_EQ(answer_of("image.compare", {a, a}).at("identical"), true);
  EXPECT_EQ(answer_of("image.compare", {a, a}).at("psnr"), nullptr);
}

TEST(ImageCompare, NamesBothSizesWhenTheyDiffer) {
  FakeJob job(find_kind("image.compare"), "{}");
  const File a = file_of(one_color(16, 9, {}), Format::kPng);
  const File b = file_of(one_color(9, 16, {}), Format::kPng);
  job.add_input(a).add_input(b);
  const auto error = sdk::error_of([&] { job.run(); });
  EXPECT_EQ(error.code(), sdk::JobErrorCode::kBadInput);
  EXPECT_THAT(error.what(), HasSubstr("the first has 16 x 9 pixels, the second 9 x 16"));
}

TEST(ImageCompare, TakesNoPictureAboveTheLimit) {
  FakeJob job(find_kind("image.compare"), R"({"max_input_pixels":100})");
  const File small = file_of(one_color(10, 10, {}), Format::kPng);
  const File large = file_of(one_color(10, 11, {}), Format::kPng);
  job.add_input(small).add_input(large);
  const auto error = sdk::error_of([&] { job.run(); });
  EXPECT_EQ(error.field(), "max_input_pixels");
  EXPECT_THAT(error.what(), HasSubstr("input 2: the picture has 10 x 11 pixels"));
}

TEST(ImageCompare, SaysWhichPictureIsNone) {
  const File good = file_of(gradient(64, 64), Format::kPng);
  File cut = good;
  cut.resize(cut.size() / 2);
  const auto message_of = [](const File& a, const File& b) {
    FakeJob job(find_kind("image.compare"), "{}");
    job.add_input(a).add_input(b);
    return std::string(sdk::error_of([&] { job.run(); }).what());
  };
  EXPECT_THAT(message_of(good, cut), testing::StartsWith("input 2: "));
  EXPECT_THAT(message_of(cut, good), testing::StartsWith("input 1: "));
  EXPECT_THAT(message_of(good, File(100)), testing::StartsWith("input 2: "));
}

// ---- BlurHash ----------------------------------------------------------------------------------------

TEST(BlurHash, OfOneColorAndOneWave) {
  EXPECT_EQ(blur_hash(one_color(8, 8, {0, 0, 0}), {1, 1}, idle_job()), "000000");
  EXPECT_EQ(blur_hash(one_color(8, 8, {255, 255, 255}), {1, 1}, idle_job()), "00TSUA");
}

TEST(BlurHash, SaysHowManyWavesItHas) {
  const cv::Mat picture = gradient(32, 24);
  EXPECT_EQ(blur_hash(picture, {4, 3}, idle_job()).front(), 'L');
  EXPECT_EQ(blur_hash(picture, {4, 3}, idle_job()).size(), 28U);
  EXPECT_EQ(blur_hash(picture, {9, 9}, idle_job()).front(), '|') << "80";
  EXPECT_EQ(blur_hash(picture, {9, 9}, idle_job()).size(), 166U);
  EXPECT_EQ(blur_hash(one_color(1, 1, {1, 2, 3}), {9, 9}, idle_job()).size(), 166U);
}

constexpr std::string_view kBase83 =
    "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz#$%*+,-.:;=?@[]^_{|}~";

int number_at(const std::string& hash, std::size_t at, std::size_t digits) {
  int number = 0;
  for (std::size_t i = at; i < at + digits; ++i) number = number * 83 + static_cast<int>(kBase83.find(hash[i]));
  return number;
}

double linear_of(int srgb) {
  const double value = srgb / 255.0;
  return value <= 0.04045 ? value / 12.92 : std::pow((value + 0.055) / 1.055, 2.4);
}

// One wave's amplitude, pixel by pixel.
double amplitude(const cv::Mat& picture, int i, int j, int channel) {
  double sum = 0;
  for (int y = 0; y < picture.rows; ++y) {
    for (int x = 0; x < picture.cols; ++x) {
      sum += std::cos(CV_PI * i * x / picture.cols) * std::cos(CV_PI * j * y / picture.rows) *
             linear_of(picture.at<cv::Vec3b>(y, x)[channel]);
    }
  }
  return sum * (i == 0 && j == 0 ? 1 : 2) / (picture.cols * picture.rows);
}

TEST(BlurHash, HoldsThePicturesWaves) {
  for (const cv::Mat& picture : {quarters(40, 30), noise(23, 37, 5), gradient(64, 10)}) {
    const std::string hash = blur_hash(picture, {4, 3}, idle_job());
    const int mean = number_at(hash, 2, 4);
    for (int c = 0; c < 3; ++c) {
      EXPECT_NEAR(linear_of((mean >> (16 - 8 * c)) & 255), amplitude(picture, 0, 0, c), 0.005);
    }
    double largest = 0;
    for (int wave = 1; wave < 12; ++wave) {
      for (int c = 0; c < 3; ++c) largest = std::max(largest, std::abs(amplitude(picture, wave % 4, wave / 4, c)));
    }
    const double unit = (number_at(hash, 1, 1) + 1) / 166.0;
    EXPECT_NEAR(unit, std::min(largest, 0.5), 1.0 / 166) << "the format has room for no more";
    for (int wave = 1; wave < 12; ++wave) {
      int number = number_at(hash, 6 + 2 * static_cast<std::size_t>(wave - 1), 2);
      for (int c = 2; c >= 0; --c, number /= 19) {
        const double root = (number % 19 - 9) / 9.0;
        const double wanted = std::clamp(amplitude(picture, wave % 4, wave / 4, c) / unit, -1.0, 1.0);
        EXPECT_NEAR(root, std::copysign(std::sqrt(std::abs(wanted)), wanted), 0.5 / 9 + 0.01) << "wave " << wave;
      }
    }
  }
}

TEST(ImagePlaceholder, IsAJobWhoseResultIsJson) {
  const File white = file_of(one_color(8, 8, {255, 255, 255}), Format::kPng);
  const auto answer = answer_of("image.placeholder", {white}, R"({"components_x":1,"components_y":1})");
  EXPECT_EQ(answer.at("blurhash"), "00TSUA");
  EXPECT_EQ(answer.at("dominant"), "#f8f8f8");
  EXPECT_EQ(answer.at("width"), 8);
}

TEST(ImagePlaceholder, IsAResultAmongOthers) {
  const File file = file_of(quarters(320, 240), Format::kPng);
  FakeJob job(find_kind("image.process"), R"({"outputs":[
      {"name":"page.jpeg","format":"jpeg","operations":[{"op":"resize","width":160}]},
      {"name":"page.json","format":"placeholder","components_x":5,"side":8,"operations":[{"op":"resize","width":64}]}]})");
  job.add_input(file).run();
  ASSERT_EQ(job.outputs.size(), 2U);
  FakeJob small(find_kind("image.resize"), R"({"width":64,"format":"png"})");
  small.add_input(file).run();
  const File resized(small.bytes().begin(), small.bytes().end());
  const auto text = job.outputs[1].bytes();
  EXPECT_EQ(json::parse(std::string(reinterpret_cast<const char*>(text.data()), text.size())).as_object(),
            answer_of("image.placeholder", {resized}, R"({"components_x":5,"side":8})"));
}

TEST(ImagePlaceholder, HoldsTheWholePictureVerySmall) {
  const File file = file_of(quarters(300, 200), Format::kPng);
  const auto answer = answer_of("image.placeholder", {file}, R"({"side":12})");
  const std::string_view uri = answer.at("data_uri").as_string();
  const std::string_view prefix = "data:image/webp;base64,";
  ASSERT_TRUE(uri.starts_with(prefix));
  // RFC 4648's digits, four for three bytes
  constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  File decoded;
  unsigned bits = 0;
  int held = 0;
  for (const char digit : uri.substr(prefix.size())) {
    if (digit == '=') break;
    ASSERT_NE(kDigits.find(digit), std::string_view::npos);
    bits = bits << 6 | static_cast<unsigned>(kDigits.find(digit));
    if ((held += 6) < 8) continue;
    held -= 8;
    decoded.push_back(static_cast<std::byte>(bits >> held));
  }
  const cv::Mat small = picture_of(decoded);
  EXPECT_EQ(small.size(), cv::Size(12, 8));
  EXPECT_GT(small.at<cv::Vec3b>(1, 1)[0], 180);  // red
}

TEST(ImageMeasures, StopWhenAsked) {
  const File file = file_of(noise(64, 64, 6), Format::kPng);
  for (const char* kind : {"image.stats", "image.compare", "image.placeholder"}) {
    FakeJob job(find_kind(kind), "{}");
    job.add_input(file);
    if (std::string_view(kind) == "image.compare") job.add_input(file);
    job.run();
    const std::size_t polls = job.polls;
    FakeJob again(find_kind(kind), "{}");
    again.add_input(file);
    if (std::string_view(kind) == "image.compare") again.add_input(file);
    again.polls_until_cancel = polls - 1;
    EXPECT_EQ(sdk::error_of([&] { again.run(); }).code(), sdk::JobErrorCode::kCancelled) << kind;
  }
}

}  // namespace
}  // namespace quern::image
