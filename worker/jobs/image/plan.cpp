#include "worker/jobs/image/plan.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace quern::image {
namespace {

// An extreme shape asks for sides beyond any limit: they are capped where 32 bits still hold them.
std::uint32_t rounded(double length) { return static_cast<std::uint32_t>(std::clamp(std::round(length), 1.0, 4e9)); }

// How much one axis is scaled.
struct Factors {
  double across = 1;
  double down = 1;
};

Factors factors_of(Size source, Size asked, Fit fit) {
  const double across = static_cast<double>(asked.width) / source.width;
  const double down = static_cast<double>(asked.height) / source.height;
  if (asked.height == 0) return {across, fit == Fit::kFill ? 1.0 : across};
  if (asked.width == 0) return {fit == Fit::kFill ? 1.0 : down, down};
  switch (fit) {
    case Fit::kFill: return {across, down};
    case Fit::kCover:
    case Fit::kOutside: return {std::max(across, down), std::max(across, down)};
    case Fit::kContain:
    case Fit::kInside: break;
  }
  return {std::min(across, down), std::min(across, down)};
}

}  // namespace

Plan make_plan(Size source, Size asked, Fit fit, Scaling scaling) {
  if (asked.width == 0 && asked.height == 0) return {source, source};
  Factors factors = factors_of(source, asked, fit);
  if (!scaling.enlarge) factors = {std::min(factors.across, 1.0), std::min(factors.down, 1.0)};
  if (!scaling.reduce) factors = {std::max(factors.across, 1.0), std::max(factors.down, 1.0)};
  const Size scaled{rounded(source.width * factors.across), rounded(source.height * factors.down)};
  if (asked.width == 0) asked.width = scaled.width;
  if (asked.height == 0) asked.height = scaled.height;
  switch (fit) {
    case Fit::kCover: return {scaled, {std::min(scaled.width, asked.width), std::min(scaled.height, asked.height)}};
    case Fit::kContain: return {scaled, {std::max(scaled.width, asked.width), std::max(scaled.height, asked.height)}};
    case Fit::kFill:
    case Fit::kInside:
    case Fit::kOutside: break;
  }
  return {scaled, scaled};
}

Size upright_size(Size stored, int orientation) {
  return lies_on_side(orientation) ? Size{stored.height, stored.width} : stored;
}

Plan as_stored(const Plan& upright, int orientation) {
  // who turns a size twice has the first again
  return {.scaled = upright_size(upright.scaled, orientation), .canvas = upright_size(upright.canvas, orientation)};
}

std::uint32_t shrink_on_load(Size source, const Plan& plan, double headroom) {
  if (headroom == 0) return 1;
  const auto enough = [headroom](double pixels, double shrink, double needed) {
    return pixels >= headroom * needed * shrink;
  };
  for (const std::uint32_t shrink : {8U, 4U, 2U}) {
    if (enough(source.width, shrink, plan.scaled.width) && enough(source.height, shrink, plan.scaled.height))
      return shrink;
  }
  return 1;
}

Cut as_stored(Cut upright, Size scaled, int orientation) {
  Cut cut = upright;
  if (lies_on_side(orientation)) {
    std::swap(cut.at.x, cut.at.y);
    std::swap(cut.size.width, cut.size.height);
  }
  const Size stored = upright_size(scaled, orientation);
  // where the stored picture's first column and first row end up
  const bool mirrored_across = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
  const bool mirrored_down = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
  if (mirrored_across) cut.at.x = std::int64_t{stored.width} - cut.size.width - cut.at.x;
  if (mirrored_down) cut.at.y = std::int64_t{stored.height} - cut.size.height - cut.at.y;
  return cut;
}

std::int64_t offset_of(std::int64_t free, int gravity, Odd odd) {
  if (gravity < 0) return 0;
  if (gravity > 0) return free;
  return (odd == Odd::kBefore ? free + 1 : free) >> 1;  // also of less than 0, to the left
}

}  // namespace quern::image
