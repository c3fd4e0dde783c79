#include "worker/jobs/image/operations/blend.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "worker/jobs/image/words.h"

namespace quern::image {
namespace {

constexpr auto kWords = std::to_array<Word<Blend>>({
    {"over", Blend::kOver},
    {"clear", Blend::kClear},
    {"source", Blend::kSource},
    {"in", Blend::kIn},
    {"out", Blend::kOut},
    {"atop", Blend::kAtop},
    {"dest", Blend::kDest},
    {"dest-over", Blend::kDestOver},
    {"dest-in", Blend::kDestIn},
    {"dest-out", Blend::kDestOut},
    {"dest-atop", Blend::kDestAtop},
    {"xor", Blend::kXor},
    {"add", Blend::kAdd},
    {"saturate", Blend::kSaturate},
    {"multiply", Blend::kMultiply},
    {"screen", Blend::kScreen},
    {"overlay", Blend::kOverlay},
    {"darken", Blend::kDarken},
    {"lighten", Blend::kLighten},
    {"colour-dodge", Blend::kColorDodge},
    {"color-dodge", Blend::kColorDodge},
    {"colour-burn", Blend::kColorBurn},
    {"color-burn", Blend::kColorBurn},
    {"hard-light", Blend::kHardLight},
    {"soft-light", Blend::kSoftLight},
    {"difference", Blend::kDifference},
    {"exclusion", Blend::kExclusion},
});

float hard_light(float s, float d) { return s <= 0.5F ? 2 * s * d : 1 - 2 * (1 - s) * (1 - d); }

float soft_light(float s, float d) {
  if (s <= 0.5F) return d - (1 - 2 * s) * d * (1 - d);
  const float lifted = d <= 0.25F ? ((16 * d - 12) * d + 4) * d : std::sqrt(d);
  return d + (2 * s - 1) * (lifted - d);
}

float color_dodge(float s, float d) {
  if (d <= 0) return 0;
  return s >= 1 ? 1 : std::min(1.0F, d / (1 - s));
}

float color_burn(float s, float d) {
  if (d >= 1) return 1;
  return s <= 0 ? 0 : 1 - std::min(1.0F, (1 - d) / s);
}

// What a source does to an opaque backdrop, one channel of each.
float mixed(float s, float d, Blend blend) {
  switch (blend) {
    case Blend::kMultiply: return s * d;
    case Blend::kScreen: return s + d - s * d;
    case Blend::kOverlay: return hard_light(d, s);
    case Blend::kDarken: return std::min(s, d);
    case Blend::kLighten: return std::max(s, d);
    case Blend::kColorDodge: return color_dodge(s, d);
    case Blend::kColorBurn: return color_burn(s, d);
    case Blend::kHardLight: return hard_light(s, d);
    case Blend::kSoftLight: return soft_light(s, d);
    case Blend::kDifference: return std::abs(s - d);
    case Blend::kExclusion: return s + d - 2 * s * d;
    default: return s;
  }
}

struct Shares {
  float source;
  float backdrop;
};

Shares shares_of(float s, float d, Blend blend) {
  switch (blend) {
    case Blend::kClear: return {0, 0};
    case Blend::kSource: return {1, 0};
    case Blend::kIn: return {d, 0};
    case Blend::kOut: return {1 - d, 0};
    case Blend::kAtop: return {d, 1 - s};
    case Blend::kDest: return {0, 1};
    case Blend::kDestOver: return {1 - d, 1};
    case Blend::kDestIn: return {0, s};
    case Blend::kDestOut: return {0, 1 - s};
    case Blend::kDestAtop: return {1 - d, s};
    case Blend::kXor: return {1 - d, 1 - s};
    case Blend::kAdd: return {1, 1};
    case Blend::kSaturate: return {s > 0 ? std::min(1.0F, (1 - d) / s) : 0, 1};
    default: return {1, 1 - s};
  }
}

}  // namespace

Blend blend_of(std::string_view word) { return meaning_of(kWords, word); }
std::vector<std::string> blend_words() { return words_of(kWords); }

bool keeps_opaque(Blend blend) {
  switch (blend) {
    case Blend::kClear:
    case Blend::kSource:
    case Blend::kIn:
    case Blend::kOut:
    case Blend::kDestIn:
    case Blend::kDestOut:
    case Blend::kDestAtop:
    case Blend::kXor: return false;
    default: return true;
  }
}

bool keeps_uncovered(Blend blend) {
  switch (blend) {
    case Blend::kClear:
    case Blend::kSource:
    case Blend::kIn:
    case Blend::kOut:
    case Blend::kDestIn:
    case Blend::kDestAtop: return false;
    default: return true;
  }
}

Pixel blended(Pixel source, Pixel backdrop, Blend blend) {
  const float s = source.a;
  const float d = backdrop.a;
  const Shares shares = shares_of(s, d, blend);
  const float alpha = std::min(1.0F, s * shares.source + d * shares.backdrop);
  if (alpha <= 0) return {};
  const auto channel = [&](float from, float under) {
    const float top = (1 - d) * from + d * mixed(from, under, blend);  // itself, unless it is a blend mode
    return std::clamp((top * s * shares.source + under * d * shares.backdrop) / alpha, 0.0F, 1.0F);
  };
  return {.r = channel(source.r, backdrop.r),
          .g = channel(source.g, backdrop.g),
          .b = channel(source.b, backdrop.b),
          .a = alpha};
}

}  // namespace quern::image
