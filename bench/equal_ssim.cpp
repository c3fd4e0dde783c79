#include "bench/equal_ssim.h"

#include <fmt/format.h>

#include <algorithm>

namespace quern::bench {

// Between two neighbours bytes are taken to grow evenly with SSIM.
EqualSsim at_equal_ssim(std::span<const std::pair<double, double>> curve, double their_ssim, double their_bytes) {
  for (std::size_t i = 1; i < curve.size(); ++i) {
    const auto [low, high] = std::minmax(curve[i - 1], curve[i]);
    if (low.first > their_ssim || their_ssim > high.first || low.first == high.first) continue;
    const double share = (their_ssim - low.first) / (high.first - low.first);
    return {.ratio = (low.second + (high.second - low.second) * share) / their_bytes};
  }
  return {.reach = curve.front().first >= their_ssim ? Reach::kAlwaysBetter : Reach::kNeverAsGood};
}

bool meets(const EqualSsim& found, double ratio_max) {
  return found.reach == Reach::kAlwaysBetter || (found.reach == Reach::kCompared && found.ratio <= ratio_max);
}

std::string to_string(const EqualSsim& found) {
  switch (found.reach) {
    case Reach::kCompared: return fmt::format("{:.3f} x", found.ratio);
    case Reach::kAlwaysBetter: return "-";
    case Reach::kNeverAsGood: return "worse";
  }
  return "";
}

}  // namespace quern::bench
