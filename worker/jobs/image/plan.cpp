#include "worker/jobs/image/plan.h"

#include <algorithm>
#include <cmath>

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

Plan make_plan(Size source, Size asked, Fit fit, Enlargement enlargement) {
  Factors factors = factors_of(source, asked, fit);
  if (enlargement == Enlargement::kForbidden) factors = {std::min(factors.across, 1.0), std::min(factors.down, 1.0)};
  const Size scaled{rounded(source.width * factors.across), rounded(source.height * factors.down)};
  if (asked.width == 0 || asked.height == 0) return {scaled, scaled};
  switch (fit) {
    case Fit::kCover: return {scaled, {std::min(scaled.width, asked.width), std::min(scaled.height, asked.height)}};
    case Fit::kContain: return {scaled, asked};
    case Fit::kFill:
    case Fit::kInside:
    case Fit::kOutside: break;
  }
  return {scaled, scaled};
}

Plan turned(const Plan& plan) {
  return {.scaled = {plan.scaled.height, plan.scaled.width}, .canvas = {plan.canvas.height, plan.canvas.width}};
}

std::uint32_t shrink_on_load(Size source, const Plan& plan) {
  for (const std::uint32_t shrink : {8U, 4U, 2U}) {
    if (source.width / shrink >= std::uint64_t{2} * plan.scaled.width &&
        source.height / shrink >= std::uint64_t{2} * plan.scaled.height) {
      return shrink;
    }
  }
  return 1;
}

Window window_of(std::uint32_t source, std::uint32_t scaled, std::uint32_t canvas) {
  const auto whole = static_cast<int>(source);
  if (scaled <= canvas) return {.begin = 0, .end = whole, .scaled = static_cast<int>(scaled), .offset = 0, .kept = static_cast<int>(scaled)};
  const double factor = static_cast<double>(scaled) / source;
  const double first = std::floor((static_cast<double>(scaled) - canvas + 1) / 2);  // an odd pixel more is cut before, as in sharp
  // what a kept pixel is made of: two pixels around when enlarging, all it covers when reducing
  const double margin = std::max(2.0, std::ceil(1 / factor) + 1);
  const double begin = std::max(0.0, std::floor(first / factor) - margin);
  const double end = std::min<double>(source, std::ceil((first + canvas) / factor) + margin);
  Window window{.begin = static_cast<int>(begin), .end = static_cast<int>(end), .scaled = 0, .offset = 0, .kept = static_cast<int>(canvas)};
  window.scaled = std::max(window.kept, static_cast<int>(std::lround((end - begin) * factor)));
  window.offset = std::clamp(static_cast<int>(std::lround(first - begin * factor)), 0, window.scaled - window.kept);
  return window;
}

}  // namespace quern::image
