#include "client/cli/nearest.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

namespace quern::cli {
namespace {

// Levenshtein's distance.
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j < row.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0U : 1U);
      diagonal = std::exchange(row[j], std::min({row[j] + 1, row[j - 1] + 1, replaced}));
    }
  }
  return row.back();
}

}  // namespace

std::string did_you_mean(std::string_view wrong, std::span<const std::string> known, std::string_view prefix) {
  const auto nearest =
      std::ranges::min_element(known, {}, [&](const std::string& word) { return distance(wrong, word); });
  // a third of the letters wrong is another word
  if (nearest == known.end() || distance(wrong, *nearest) > std::max<std::size_t>(2, wrong.size() / 3)) return {};
  return fmt::format("; did you mean '{}{}'?", prefix, *nearest);
}

}  // namespace quern::cli
