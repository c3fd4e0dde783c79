#include "worker/jobs/image/resize.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <opencv2/core.hpp>
#include <utility>

#include "worker/jobs/image/alpha.h"
#include "worker/jobs/image/attention.h"
#include "worker/jobs/image/color.h"
#include "worker/jobs/image/limits.h"
#include "worker/jobs/image/yuv.h"

namespace quern::image {
namespace {

// Upright, what is kept of the scaled picture.
Cut cut_of(const Plan& plan, Place at) {
  return {.at = at,
          .size = {static_cast<int>(std::min(plan.scaled.width, plan.canvas.width)),
                   static_cast<int>(std::min(plan.scaled.height, plan.canvas.height))}};
}

Place place_of(const Plan& plan, Gravity gravity) {
  const std::int64_t free_x = std::int64_t{plan.scaled.width} - plan.canvas.width;
  const std::int64_t free_y = std::int64_t{plan.scaled.height} - plan.canvas.height;
  return {.x = free_x > 0 ? offset_of(free_x, gravity.across, Odd::kBefore) : 0,
          .y = free_y > 0 ? offset_of(free_y, gravity.down, Odd::kBefore) : 0};
}

// Where in the decoded whole that lies, as stored.
cv::Rect2d source_of(const Cut& cut, Size scaled, cv::Size2d decoded) {
  const double x = decoded.width / scaled.width;
  const double y = decoded.height / scaled.height;
  return {static_cast<double>(cut.at.x) * x, static_cast<double>(cut.at.y) * y, cut.size.width * x,
          cut.size.height * y};
}

Picture resample_any(const Picture& picture, const Resize& resize, std::optional<YuvLayout> layout,
                     const sdk::Job& job) {
  const auto* yuv = std::get_if<YuvPicture>(&picture);
  if (yuv == nullptr) return resample(std::get<cv::Mat>(picture), resize, job);
  if (!yuv->alpha.empty()) return resample(to_rgb(picture), resize, job);
  if (layout) return resample(*yuv, resize, *layout, job);
  return resample_to_rgb(*yuv, resize, job);
}

cv::Mat upright_plane(const cv::Mat& picture, int orientation) {
  cv::Mat out;
  switch (orientation) {
    case 2: cv::flip(picture, out, 1); return out;
    case 3: cv::rotate(picture, out, cv::ROTATE_180); return out;
    case 4: cv::flip(picture, out, 0); return out;
    case 5: cv::transpose(picture, out); return out;
    case 6: cv::rotate(picture, out, cv::ROTATE_90_CLOCKWISE); return out;
    case 7:
      cv::transpose(picture, out);
      cv::rotate(out, out, cv::ROTATE_180);
      return out;
    case 8: cv::rotate(picture, out, cv::ROTATE_90_COUNTERCLOCKWISE); return out;
    default: return picture;
  }
}

Picture in_srgb(const Picture& picture, const Source& source) {
  return source.icc.empty() ? picture : Picture(to_srgb(to_rgb(picture), source.icc));
}

// Around the picture, what the request says.
Picture pad(const Picture& picture, const Plan& plan, const ResizeRequest& request) {
  const cv::Size canvas = cv_size(plan.canvas);
  const cv::Size size = size_of(picture);
  if (size == canvas) return picture;
  cv::Mat source = to_rgb(picture);
  const Color around = request.background.value_or(Color{.a = static_cast<std::uint8_t>(has_alpha(picture) ? 0 : 255)});
  if (around.a < 255) source = ensure_alpha(source);
  const auto* gravity = std::get_if<Gravity>(&request.position);
  const Gravity place = gravity != nullptr ? *gravity : Gravity{};
  const auto x = static_cast<int>(offset_of(canvas.width - size.width, place.across, Odd::kBehind));
  const auto y = static_cast<int>(offset_of(canvas.height - size.height, place.down, Odd::kBehind));
  cv::Mat out(canvas, source.type(), cv::Scalar(around.r, around.g, around.b, around.a));
  source.copyTo(out(cv::Rect({x, y}, size)));
  return out;
}

// Of a crop that looks at the picture: at a small one, which tells as much.
Place place_of(const Source& source, const Plan& plan, Strategy strategy, Kernel kernel, const sdk::Job& job) {
  const Size look{std::min(plan.scaled.width, kLookSideMax), std::min(plan.scaled.height, kLookSideMax)};
  const Resize whole{
      .from = {{0, 0}, source.decoded}, .to = cv_size(upright_size(look, source.orientation)), .kernel = kernel};
  const Picture small = upright(resample_any(source.picture, whole, {}, job), source.orientation);
  const double across = static_cast<double>(plan.scaled.width) / look.width;
  const double down = static_cast<double>(plan.scaled.height) / look.height;
  const cv::Size cut(std::clamp(static_cast<int>(std::lround(plan.canvas.width / across)), 1, cv_size(look).width),
                     std::clamp(static_cast<int>(std::lround(plan.canvas.height / down)), 1, cv_size(look).height));
  const cv::Mat picture = to_rgb(in_srgb(small, source));
  const cv::Point found = strategy == Strategy::kEntropy ? find_entropy(picture, cut) : find_attention(picture, cut);
  return {.x = std::min<std::int64_t>(std::llround(found.x * across), plan.scaled.width - plan.canvas.width),
          .y = std::min<std::int64_t>(std::llround(found.y * down), plan.scaled.height - plan.canvas.height)};
}

}  // namespace

Plan plan_of(const ResizeRequest& request, Size upright) {
  const Plan plan = make_plan(upright, request.asked, request.fit, request.scaling);
  if (std::max(plan.canvas.width, plan.canvas.height) > kOutputSideMax) {
    throw sdk::JobError(sdk::JobErrorCode::kInvalidArgument,
                        fmt::format("the result would be {} x {}; each side is at most {}", plan.canvas.width,
                                    plan.canvas.height, kOutputSideMax),
                        request.asked.width != 0 ? request.width_field : request.height_field);
  }
  return plan;
}

cv::Rect needed_region(const ResizeRequest& request, Size stored, int orientation) {
  const cv::Rect whole({0, 0}, cv_size(stored));
  const auto* gravity = std::get_if<Gravity>(&request.position);
  if (gravity == nullptr || request.fit != Fit::kCover) return whole;
  const Plan plan = plan_of(request, upright_size(stored, orientation));
  const Size scaled = upright_size(plan.scaled, orientation);
  const Cut cut = as_stored(cut_of(plan, place_of(plan, *gravity)), plan.scaled, orientation);
  const cv::Rect2d from =
      source_of(cut, scaled, {static_cast<double>(stored.width), static_cast<double>(stored.height)});
  // and what the kernel sees around it: at most three of the result's pixels, each way
  const double reach_x = 4 * std::max(1.0, static_cast<double>(stored.width) / scaled.width);
  const double reach_y = 4 * std::max(1.0, static_cast<double>(stored.height) / scaled.height);
  const cv::Point first(static_cast<int>(std::floor(from.x - reach_x)), static_cast<int>(std::floor(from.y - reach_y)));
  const cv::Point last(static_cast<int>(std::ceil(from.x + from.width + reach_x)),
                       static_cast<int>(std::ceil(from.y + from.height + reach_y)));
  return cv::Rect(first, last) & whole;
}

Picture resize(const Source& source, const ResizeRequest& request, std::optional<YuvLayout> layout,
               std::optional<Place>& place, const sdk::Job& job) {
  const Plan plan = plan_of(request, upright_size(source.whole, source.orientation));
  if (const auto* strategy = std::get_if<Strategy>(&request.position); strategy == nullptr) {
    place = place_of(plan, std::get<Gravity>(request.position));
  } else if (!place) {
    place = request.fit == Fit::kCover ? place_of(source, plan, *strategy, request.kernel, job) : Place{};
  }
  const Cut cut = as_stored(cut_of(plan, *place), plan.scaled, source.orientation);
  cv::Rect2d from = source_of(cut, upright_size(plan.scaled, source.orientation), source.decoded);
  from -= source.offset;
  if (!source.icc.empty()) layout.reset();
  // It is turned after it was scaled, when there are fewer pixels. Turning would move an odd last pixel's chroma.
  const bool odd = cut.size.width % 2 != 0 || cut.size.height % 2 != 0;
  if (layout && source.orientation != 1 && odd && (layout->shift_x != 0 || layout->shift_y != 0)) layout.reset();
  if (layout && lies_on_side(source.orientation)) std::swap(layout->shift_x, layout->shift_y);
  const Picture scaled =
      resample_any(source.picture, {.from = from, .to = cut.size, .kernel = request.kernel}, layout, job);
  return pad(in_srgb(upright(scaled, source.orientation), source), plan, request);
}

Picture upright(const Picture& picture, int orientation) {
  if (orientation == 1) return picture;
  if (const auto* rgb = std::get_if<cv::Mat>(&picture)) return upright_plane(*rgb, orientation);
  YuvPicture turned = std::get<YuvPicture>(picture);
  for (cv::Mat& plane : turned.planes) plane = upright_plane(plane, orientation);
  if (!turned.alpha.empty()) turned.alpha = upright_plane(turned.alpha, orientation);
  if (lies_on_side(orientation)) std::swap(turned.shift_x, turned.shift_y);
  return turned;
}

}  // namespace quern::image
