#include "worker/jobs/image/operations/tone.h"

#include <algorithm>
#include <cmath>
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>

#include "worker/jobs/image/alpha.h"
#include "worker/jobs/image/lab.h"

namespace quern::image {
namespace {

constexpr int kClaheTilesMax = 256;  // a side: each has a table of 256 bytes

// A new picture, with change(rgb) for each pixel's colour.
template <class Change>
cv::Mat each_color(const cv::Mat& picture, const sdk::Job& job, const Change& change) {
  const int channels = picture.channels();
  cv::Mat out(picture.size(), picture.type());
  for (int y = 0; y < picture.rows; ++y) {
    job.throw_if_cancelled();
    const auto* from = picture.ptr<std::uint8_t>(y);
    auto* to = out.ptr<std::uint8_t>(y);
    for (int x = 0; x < picture.cols; ++x, from += channels, to += channels) {
      std::ranges::copy(change(Rgb{from[0], from[1], from[2]}), to);
      if (channels == 4) to[3] = from[3];
    }
  }
  return out;
}

using Table = std::array<std::uint8_t, 256>;

// A table a channel, for as many as there are of them; alpha is the fourth.
cv::Mat look_up(const cv::Mat& picture, const std::array<Table, 4>& tables) {
  cv::Mat table(1, 256, CV_8UC(picture.channels()));
  for (int i = 0; i < 256; ++i) {
    for (int c = 0; c < picture.channels(); ++c) {
      table.ptr<std::uint8_t>()[i * picture.channels() + c] =
          tables[static_cast<std::size_t>(c)][static_cast<std::size_t>(i)];
    }
  }
  cv::Mat out;
  cv::LUT(picture, table, out);
  return out;
}

template <class Function>
Table table_of(const Function& function) {
  Table table{};
  for (std::size_t i = 0; i < table.size(); ++i) {
    const double value = function(static_cast<double>(i));
    table[i] = static_cast<std::uint8_t>(std::lround(std::clamp(value, 0.0, 255.0)));
  }
  return table;
}

Table same() {
  return table_of([](double value) { return value; });
}

}  // namespace

cv::Mat greyscale(const cv::Mat& picture, const sdk::Job& job) {
  return each_color(picture, job, [](Rgb color) {
    const std::uint8_t grey = grey_of(color);
    return Rgb{grey, grey, grey};
  });
}

cv::Mat tint(const cv::Mat& picture, Color color, const sdk::Job& job) {
  const Lab wanted = lab_of({color.r, color.g, color.b});
  std::array<Rgb, 256> tinted{};
  for (std::size_t i = 0; i < tinted.size(); ++i) {
    const auto grey = static_cast<std::uint8_t>(i);
    const float l = lab_of({grey, grey, grey}).l;
    const float from_middle = l / 100 - 0.5F;
    const float weight = 1 - 4 * from_middle * from_middle;
    tinted[i] = rgb_of({.l = l, .a = wanted.a * weight, .b = wanted.b * weight});
  }
  return each_color(picture, job, [&](Rgb each) { return tinted[grey_of(each)]; });
}

cv::Mat modulate(const cv::Mat& picture, const Modulation& modulation, const sdk::Job& job) {
  const double angle = std::fmod(modulation.hue, 360) * CV_PI / 180;
  const auto along = static_cast<float>(std::cos(angle) * modulation.saturation);
  const auto across = static_cast<float>(std::sin(angle) * modulation.saturation);
  const auto brightness = static_cast<float>(modulation.brightness);
  const auto lightness = static_cast<float>(modulation.lightness);
  return each_color(picture, job, [=](Rgb each) {
    const Lab lab = lab_of(each);
    return rgb_of({.l = lab.l * brightness + lightness,
                   .a = lab.a * along - lab.b * across,
                   .b = lab.a * across + lab.b * along});
  });
}

cv::Mat gamma(const cv::Mat& picture, double gamma) {
  const Table curve = table_of([gamma](double value) { return 255 * std::pow(value / 255, 1 / gamma); });
  return look_up(picture, {curve, curve, curve, same()});
}

cv::Mat negate(const cv::Mat& picture, AlphaToo alpha) {
  const Table inverse = table_of([](double value) { return 255 - value; });
  return look_up(picture, {inverse, inverse, inverse, alpha == AlphaToo::kYes ? inverse : same()});
}

LightnessRange lightness_range(const cv::Mat& picture, double lower, double upper, const sdk::Job& job) {
  constexpr float kBinsAUnit = 10;
  constexpr std::size_t kBins = 1000;
  std::array<std::uint64_t, kBins + 1> histogram{};
  const int channels = picture.channels();
  for (int y = 0; y < picture.rows; ++y) {
    job.throw_if_cancelled();
    const auto* row = picture.ptr<std::uint8_t>(y);
    for (int x = 0; x < picture.cols; ++x, row += channels) {
      const float l = std::clamp(lab_of({row[0], row[1], row[2]}).l, 0.0F, 100.0F);
      ++histogram[static_cast<std::size_t>(cvRound(l * kBinsAUnit))];
    }
  }
  const auto pixels = static_cast<double>(picture.total());
  const auto below = [&](double percent) {
    double count = 0;
    std::size_t bin = 0;
    while (bin < kBins) {
      count += static_cast<double>(histogram[bin]);
      if (count > 0 && count >= pixels * percent / 100) break;
      ++bin;
    }
    return static_cast<float>(bin) / kBinsAUnit;
  };
  return {.from = below(lower), .to = below(upper)};
}

cv::Mat normalise(const cv::Mat& picture, LightnessRange range, const sdk::Job& job) {
  if (range.to - range.from < 1) return picture;
  const float factor = 100 / (range.to - range.from);
  return each_color(picture, job, [=](Rgb each) {
    Lab lab = lab_of(each);
    lab.l = (lab.l - range.from) * factor;
    return rgb_of(lab);
  });
}

cv::Mat clahe(const cv::Mat& picture, cv::Size tile, int max_slope, const sdk::Job& job) {
  const int channels = picture.channels();
  cv::Mat before(picture.size(), CV_8UC1);
  for (int y = 0; y < picture.rows; ++y) {
    job.throw_if_cancelled();
    const auto* from = picture.ptr<std::uint8_t>(y);
    auto* to = before.ptr<std::uint8_t>(y);
    for (int x = 0; x < picture.cols; ++x, from += channels) {
      to[x] = cv::saturate_cast<std::uint8_t>(lab_of({from[0], from[1], from[2]}).l * 2.55F);
    }
  }
  const auto tiles = [](int side, int each) { return std::clamp((side + each - 1) / each, 1, kClaheTilesMax); };
  cv::Mat after;
  cv::createCLAHE(max_slope, {tiles(picture.cols, tile.width), tiles(picture.rows, tile.height)})->apply(before, after);
  cv::Mat out(picture.size(), picture.type());
  for (int y = 0; y < picture.rows; ++y) {
    job.throw_if_cancelled();
    const auto* from = picture.ptr<std::uint8_t>(y);
    const auto* old_row = before.ptr<std::uint8_t>(y);
    const auto* new_row = after.ptr<std::uint8_t>(y);
    auto* to = out.ptr<std::uint8_t>(y);
    for (int x = 0; x < picture.cols; ++x, from += channels, to += channels) {
      Lab lab = lab_of({from[0], from[1], from[2]});
      lab.l = std::clamp(lab.l + static_cast<float>(new_row[x] - old_row[x]) / 2.55F, 0.0F, 100.0F);
      std::ranges::copy(rgb_of(lab), to);
      if (channels == 4) to[3] = from[3];
    }
  }
  return out;
}

cv::Mat linear(const cv::Mat& picture, const std::vector<double>& a, const std::vector<double>& b) {
  const auto number = [](const std::vector<double>& numbers, std::size_t channel, double absent) {
    if (channel < numbers.size()) return numbers[channel];
    return numbers.size() == 1 && channel < 3 ? numbers.front() : absent;
  };
  std::array<Table, 4> tables{};
  for (std::size_t c = 0; c < tables.size(); ++c) {
    const double factor = number(a, c, 1);
    const double offset = number(b, c, 0);
    tables[c] = table_of([=](double value) { return value * factor + offset; });
  }
  return look_up(picture, tables);
}

cv::Mat recomb(const cv::Mat& picture, const std::vector<double>& matrix) {
  const bool with_alpha = matrix.size() == 16;
  const std::size_t columns = with_alpha ? 4 : 3;
  const cv::Mat source = with_alpha ? ensure_alpha(picture) : picture;
  const int channels = source.channels();
  cv::Mat out(source.size(), source.type());
  for (int y = 0; y < source.rows; ++y) {
    const auto* from = source.ptr<std::uint8_t>(y);
    auto* to = out.ptr<std::uint8_t>(y);
    for (int x = 0; x < source.cols; ++x, from += channels, to += channels) {
      if (channels == 4) to[3] = from[3];
      for (std::size_t row = 0; row < columns; ++row) {
        double sum = 0;
        for (std::size_t i = 0; i < columns; ++i) sum += matrix[row * columns + i] * from[i];
        to[row] = static_cast<std::uint8_t>(cvRound(std::clamp(sum, 0.0, 255.0)));
      }
    }
  }
  return out;
}

cv::Mat threshold(const cv::Mat& picture, int value, ThresholdOf of, const sdk::Job& job) {
  const Table steps = table_of([value](double each) { return each >= value ? 255 : 0; });
  return look_up(of == ThresholdOf::kGrey ? greyscale(picture, job) : picture, {steps, steps, steps, same()});
}

}  // namespace quern::image
