// Operations as a job asks for them, applied to small pictures whose pixels a test can write down.
#pragma once

#include <gmock/gmock.h>

#include <initializer_list>
#include <opencv2/core.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "tests/unit/sdk/fake_job.h"
#include "worker/jobs/image/operations/operation.h"

namespace quern::image {

inline const sdk::Kind& operations_kind() {
  static const sdk::Kind kind = [] {
    sdk::Kind made;
    made.name = "test.operations";
    made.params.push_back(operations_param());
    return made;
  }();
  return kind;
}

// Operations on their way through frame after frame.
class Applied {
 public:
  // `list`: JSON, "[{...}, ...]". `inputs`: the job's second part and those after it.
  explicit Applied(std::string_view list, std::vector<cv::Mat> inputs = {})
      : job(operations_kind(), R"({"operations":)" + std::string(list) + "}"),
        inputs_(std::move(inputs)),
        operations_(make_operations(job.list("operations"), "operations")) {}
  [[nodiscard]] cv::Mat to(const cv::Mat& picture) {
    Context context{.job = job,
                    .limits = limits,
                    .inputs = 1 + inputs_.size(),
                    .input = [this](std::size_t part) -> const cv::Mat& { return inputs_[part - 1]; }};
    return apply_all(operations_, picture, context);
  }

  sdk::FakeJob job;
  Limits limits{};

 private:
  std::vector<cv::Mat> inputs_;
  Operations operations_;
};

inline cv::Mat applied(std::string_view list, const cv::Mat& picture, std::vector<cv::Mat> inputs = {}) {
  return Applied(list, std::move(inputs)).to(picture);
}

inline cv::Mat one_color(int width, int height, const cv::Scalar& color) { return {height, width, CV_8UC3, color}; }
inline cv::Mat one_color_alpha(int width, int height, const cv::Scalar& color) {
  return {height, width, CV_8UC4, color};
}

// Greys, row by row.
inline cv::Mat greys(std::initializer_list<std::initializer_list<int>> rows) {
  cv::Mat out(static_cast<int>(rows.size()), static_cast<int>(rows.begin()->size()), CV_8UC3);
  int y = 0;
  for (const auto& row : rows) {
    int x = 0;
    for (const int grey : row) out.at<cv::Vec3b>(y, x++) = cv::Vec3b::all(static_cast<std::uint8_t>(grey));
    ++y;
  }
  return out;
}

// The red channel, row by row.
inline std::vector<std::vector<int>> reds(const cv::Mat& picture) {
  std::vector<std::vector<int>> rows;
  for (int y = 0; y < picture.rows; ++y) {
    auto& row = rows.emplace_back();
    for (int x = 0; x < picture.cols; ++x) row.push_back(*picture.ptr<std::uint8_t>(y, x));
  }
  return rows;
}

inline cv::Vec3b rgb_at(const cv::Mat& picture, int x, int y) {
  const auto* pixel = picture.ptr<std::uint8_t>(y, x);
  return {pixel[0], pixel[1], pixel[2]};
}

inline cv::Vec4b rgba_at(const cv::Mat& picture, int x, int y) {
  EXPECT_EQ(picture.channels(), 4);
  return picture.at<cv::Vec4b>(y, x);
}

// The left half opaque red, the right half invisible green.
inline cv::Mat red_beside_invisible_green(int width, int height) {
  cv::Mat out(height, width, CV_8UC4, cv::Scalar(0, 255, 0, 0));
  out.colRange(0, width / 2).setTo(cv::Scalar(255, 0, 0, 255));
  return out;
}

// No pixel that can be seen has any green.
inline bool shows_no_green(const cv::Mat& picture) {
  for (const auto& pixel : cv::Mat_<cv::Vec4b>(picture)) {
    if (pixel[3] > 0 && (pixel[1] > 0 || pixel[0] < 250)) return false;
  }
  return true;
}

// One colour with every alpha, from edges as hard as they get to ramps.
inline cv::Mat one_color_of_every_alpha(const cv::Scalar& color) {
  cv::Mat out(90, 120, CV_8UC4, cv::Scalar(color[0], color[1], color[2], 0));
  for (int y = 0; y < out.rows; ++y) {
    for (int x = 0; x < out.cols; ++x) {
      const bool in_disc = (x - 60) * (x - 60) + (y - 45) * (y - 45) < 900;
      const int striped = x > 100 && y % 9 < 4 ? 128 : 0;
      out.at<cv::Vec4b>(y, x)[3] = static_cast<std::uint8_t>(x < 30 ? x * y % 256 : in_disc ? 255 : striped);
    }
  }
  return out;
}

// How far the colour of any pixel that can be seen is from it.
inline double farthest_from(const cv::Scalar& color, const cv::Mat& picture) {
  double most = 0;
  for (const auto& pixel : cv::Mat_<cv::Vec4b>(picture)) {
    for (int c = 0; pixel[3] > 0 && c < 3; ++c) most = std::max(most, std::abs(pixel[c] - color[c]));
  }
  return most;
}

// What the list, or applying it, is refused with.
inline sdk::JobError refused_operations(std::string_view list, const cv::Mat& picture = one_color(4, 4, {})) {
  return sdk::error_of([&] { (void)applied(list, picture); });
}

}  // namespace quern::image
