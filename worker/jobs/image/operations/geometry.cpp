#include "worker/jobs/image/operations/geometry.h"

#include <algorithm>
#include <cmath>
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>

#include "worker/jobs/image/operations/channel.h"
#include "worker/jobs/image/operations/premultiplied.h"
#include "worker/jobs/image/operations/strips.h"

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

}  // namespace

cv::Mat extract(const cv::Mat& picture, cv::Rect area) { return picture(area).clone(); }

cv::Mat extend(const cv::Mat& picture, Margins margins, ExtendWith with, Color background) {
  const bool needs_alpha = with == ExtendWith::kBackground && background.a < 255;
  const cv::Mat source = needs_alpha ? ensure_alpha(picture, 255) : picture;
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
  constexpr double kSlack = 1e-6;  // 100.0000000001 is 100
  return {static_cast<int>(std::ceil(size.width * cosine + size.height * sine - kSlack)),
          static_cast<int>(std::ceil(size.width * sine + size.height * cosine - kSlack))};
}

cv::Mat rotate(const cv::Mat& picture, double degrees, Color background, const sdk::Job& job) {
  degrees = reduced(degrees);
  if (is_quarter(degrees)) return quarter_turned(picture, static_cast<int>(degrees));
  const cv::Size size = rotated_size(picture.size(), degrees);
  const cv::Point2f middle(static_cast<float>(picture.cols - 1) / 2, static_cast<float>(picture.rows - 1) / 2);
  cv::Mat turn = cv::getRotationMatrix2D(middle, -degrees, 1);
  turn.at<double>(0, 2) += (size.width - 1) / 2.0 - middle.x;
  turn.at<double>(1, 2) += (size.height - 1) / 2.0 - middle.y;
  const cv::Mat source = premultiplied(ensure_alpha(picture, 255));
  cv::Mat out(size, background.a == 255 ? CV_8UC3 : CV_8UC4);
  const int strip = static_cast<int>(std::max<std::int64_t>(1, kStripPixels / size.width));
  for (int y = 0; y < size.height; y += strip) {
    job.throw_if_cancelled();
    const cv::Range rows(y, std::min(y + strip, size.height));
    cv::Mat turned;
    cv::warpAffine(source, turned, turn, {size.width, rows.size()}, cv::INTER_CUBIC, cv::BORDER_CONSTANT);
    over_background(straight(turned), background).copyTo(out.rowRange(rows));
    turn.at<double>(1, 2) -= strip;
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
