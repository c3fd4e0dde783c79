#include "worker/jobs/image/operations/geometry.h"

#include <algorithm>
#include <cmath>
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>

#include "worker/jobs/image/alpha.h"
#include "worker/jobs/image/operations/premultiplied.h"

namespace quern::image {
namespace {

cv::Scalar scalar_of(Color color) { return {double(color.r), double(color.g), double(color.b), double(color.a)}; }

int border_of(ExtendWith with) {
  switch (with) {
    case ExtendWith::kBackground: return cv::BORDER_CONSTANT;
    case ExtendWith::kCopy: return cv::BORDER_REPLICATE;
    case ExtendWith::kRepeat: return cv::BORDER_WRAP;
    case ExtendWith::kMirror: break;
  }
  return cv::BORDER_REFLECT;
}

Color top_left(const cv::Mat& picture) {
  const auto* pixel = picture.ptr<std::uint8_t>(0);
  return {.r = pixel[0], .g = pixel[1], .b = pixel[2], .a = picture.channels() == 4 ? pixel[3] : std::uint8_t{255}};
}

// 0 to 360.
double reduced(double degrees) {
  const double rest = std::fmod(degrees, 360);
  return rest < 0 ? rest + 360 : rest;
}

// What a quarter turn makes of it, for 0, 90, 180 and 270.
cv::Mat quarter_turned(const cv::Mat& picture, int degrees) {
  cv::Mat out;
  switch (degrees) {
    case 90: cv::rotate(picture, out, cv::ROTATE_90_CLOCKWISE); return out;
    case 180: cv::rotate(picture, out, cv::ROTATE_180); return out;
    case 270: cv::rotate(picture, out, cv::ROTATE_90_COUNTERCLOCKWISE); return out;
    default: return picture;
  }
}

bool is_quarter(double degrees) { return std::fmod(degrees, 90) == 0; }

// Where a pixel of a turned picture comes from: middle to middle, in pixels' middles.
struct BackTurn {
  BackTurn(cv::Size from, cv::Size to, double degrees)
      : cosine(std::cos(degrees * CV_PI / 180)),
        sine(std::sin(degrees * CV_PI / 180)),
        source((from.width - 1) / 2.0, (from.height - 1) / 2.0),
        turned((to.width - 1) / 2.0, (to.height - 1) / 2.0) {}

  [[nodiscard]] cv::Point2d of(double x, double y) const {
    x -= turned.x;
    y -= turned.y;
    return {source.x + x * cosine + y * sine, source.y - x * sine + y * cosine};
  }
  // As OpenCV takes it, for a part of each.
  [[nodiscard]] cv::Matx23d between(cv::Point part_of_turned, cv::Point part_of_source) const {
    const cv::Point2d first = of(part_of_turned.x, part_of_turned.y);
    return {cosine, sine, first.x - part_of_source.x, -sine, cosine, first.y - part_of_source.y};
  }

  double cosine;
  double sine;
  cv::Point2d source;
  cv::Point2d turned;
};

// How much of a pixel there, along one axis, lies on a picture of this length.
float covered(double at, int length) { return static_cast<float>(std::clamp(std::min(at + 1, length - at), 0.0, 1.0)); }

// A part of the turned picture, premultiplied. Its pixels are interpolated as if the picture's edges went on for ever,
// and laid on the background by how much of the picture they cover.
cv::Mat turned_tile(const cv::Mat& picture, const BackTurn& back, cv::Rect tile, Color background) {
  const cv::Vec4f under(static_cast<float>(background.r * background.a) / 255,
                        static_cast<float>(background.g * background.a) / 255,
                        static_cast<float>(background.b * background.a) / 255, background.a);
  cv::Mat out(tile.size(), CV_32FC4, under);
  std::vector<cv::Point2f> corners;
  for (const int x : {tile.x, tile.x + tile.width}) {
    for (const int y : {tile.y, tile.y + tile.height}) corners.emplace_back(back.of(x, y));
  }
  constexpr int kKernelReach = 3;
  cv::Rect seen = cv::boundingRect(corners);
  seen =
      cv::Rect(seen.tl() - cv::Point(kKernelReach, kKernelReach), seen.br() + cv::Point(kKernelReach, kKernelReach)) &
      cv::Rect({0, 0}, picture.size());
  if (seen.empty()) return out;
  cv::Mat turned;
  cv::warpAffine(premultiplied_floats(ensure_alpha(picture(seen))), turned, back.between(tile.tl(), seen.tl()),
                 tile.size(), cv::INTER_CUBIC | cv::WARP_INVERSE_MAP, cv::BORDER_REPLICATE);
  for (int y = 0; y < tile.height; ++y) {
    const auto* from = turned.ptr<cv::Vec4f>(y);
    auto* to = out.ptr<cv::Vec4f>(y);
    for (int x = 0; x < tile.width; ++x) {
      const cv::Point2d at = back.of(tile.x + x, tile.y + y);
      const float share = covered(at.x, picture.cols) * covered(at.y, picture.rows);
      to[x] = from[x] * share + to[x] * (1 - share);
    }
  }
  return out;
}

}  // namespace

cv::Mat extract(const cv::Mat& picture, cv::Rect area) { return picture(area).clone(); }

cv::Mat extend(const cv::Mat& picture, Margins margins, ExtendWith with, Color background) {
  const bool needs_alpha = with == ExtendWith::kBackground && background.a < 255;
  const cv::Mat source = needs_alpha ? ensure_alpha(picture) : picture;
  cv::Mat out;
  // BORDER_ISOLATED: of a part of a larger picture, what lies around it is not looked at
  cv::copyMakeBorder(source, out, margins.top, margins.bottom, margins.left, margins.right,
                     border_of(with) | cv::BORDER_ISOLATED, scalar_of(background));
  return out;
}

cv::Rect trim_box(const cv::Mat& picture, const TrimOptions& options) {
  const Color background = options.background.value_or(top_left(picture));
  cv::Mat seen;
  if (options.line_art) {
    seen = picture;
  } else {
    cv::medianBlur(picture, seen, 3);
  }
  const std::array<int, 4> wanted{background.r, background.g, background.b, background.a};
  const int channels = seen.channels();
  const auto differs = [&](const std::uint8_t* pixel) {
    const int alpha = channels == 4 ? pixel[3] : 255;
    if (channels == 4 && std::abs(alpha - wanted[3]) > options.threshold) return true;
    for (std::size_t c = 0; c < 3; ++c) {
      // over the background: the colour of what is invisible is no difference
      if (std::abs(pixel[c] - wanted[c]) * alpha > options.threshold * 255) return true;
    }
    return false;
  };
  cv::Rect box(picture.cols, picture.rows, 0, 0);
  int right = -1;
  int bottom = -1;
  for (int y = 0; y < seen.rows; ++y) {
    int first = 0;
    while (first < seen.cols && !differs(seen.ptr<std::uint8_t>(y, first))) ++first;
    if (first == seen.cols) continue;
    int last = seen.cols - 1;
    while (last > right && !differs(seen.ptr<std::uint8_t>(y, last))) --last;  // `right` is in the box already
    box.x = std::min(box.x, first);
    box.y = std::min(box.y, y);
    right = std::max(right, last);
    bottom = y;
  }
  const cv::Rect whole(0, 0, picture.cols, picture.rows);
  if (bottom < 0) return whole;
  const int margin = options.margin;
  return cv::Rect(box.x - margin, box.y - margin, right + 1 - box.x + 2 * margin, bottom + 1 - box.y + 2 * margin) &
         whole;
}

cv::Size rotated_size(cv::Size size, double degrees) {
  degrees = reduced(degrees);
  if (is_quarter(degrees)) return std::fmod(degrees, 180) == 0 ? size : cv::Size(size.height, size.width);
  const double angle = degrees * CV_PI / 180;
  const double cosine = std::abs(std::cos(angle));
  const double sine = std::abs(std::sin(angle));
  return {cvRound(size.width * cosine + size.height * sine), cvRound(size.width * sine + size.height * cosine)};
}

cv::Mat rotate(const cv::Mat& picture, double degrees, Color background, const sdk::Job& job) {
  degrees = reduced(degrees);
  if (is_quarter(degrees)) return quarter_turned(picture, static_cast<int>(degrees));
  const cv::Size size = rotated_size(picture.size(), degrees);
  const BackTurn back(picture.size(), size, degrees);
  const bool alpha = picture.channels() == 4 || background.a != 255;
  cv::Mat out(size, alpha ? CV_8UC4 : CV_8UC3);
  constexpr int kTile = 256;  // floats are few, and what is seen of the picture is a square, not a band
  for (int y = 0; y < size.height; y += kTile) {
    job.throw_if_cancelled();
    for (int x = 0; x < size.width; x += kTile) {
      const cv::Rect tile = cv::Rect(x, y, kTile, kTile) & cv::Rect({0, 0}, size);
      const cv::Mat made = straight_of_floats(turned_tile(picture, back, tile, background));
      (alpha ? made : remove_alpha(made)).copyTo(out(tile));
    }
  }
  return out;
}

cv::Mat flip(const cv::Mat& picture) {
  cv::Mat out;
  cv::flip(picture, out, 0);
  return out;
}

cv::Mat flop(const cv::Mat& picture) {
  cv::Mat out;
  cv::flip(picture, out, 1);
  return out;
}

}  // namespace quern::image
