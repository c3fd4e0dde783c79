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
  const auto kept = static_cast<int>(std::min(scaled, canvas));
  if (scaled <= canvas) return {.begin = 0, .end = whole, .scaled = kept, .offset = 0, .kept = kept};
  const double factor = static_cast<double>(scaled) / source;
  const double first =
      std::floor((static_cast<double>(scaled) - canvas + 1) / 2);  // an odd pixel more is cut before, as in sharp
  constexpr double kMargin = 2;  // pixels around, on the side that has fewer: what a kept one is made of
  if (factor <= 1) {
    // whole pixels of the result; where they lie in the source is off by less than one pixel there
    const double begin = std::max(0.0, first - kMargin);
    const double end = std::min<double>(scaled, first + canvas + kMargin);
    return {.begin = static_cast<int>(std::lround(begin / factor)),
            .end = static_cast<int>(std::lround(end / factor)),
            .scaled = static_cast<int>(end - begin),
            .offset = static_cast<int>(first - begin),
            .kept = kept};
  }
  // whole pixels of the source; where they lie in the result is off by less than one pixel there
  const double begin = std::max(0.0, std::floor(first / factor) - kMargin);
  const double end = std::min<double>(source, std::ceil((first + canvas) / factor) + kMargin);
  const int grown = std::max(kept, static_cast<int>(std::lround((end - begin) * factor)));
  return {.begin = static_cast<int>(begin),
          .end = static_cast<int>(end),
          .scaled = grown,
          .offset = std::clamp(static_cast<int>(std::lround(first - begin * factor)), 0, grown - kept),
          .kept = kept};
}

}  // namespace quern::image
