// What all benchmarks print alike.
#pragma once

#include <algorithm>
#include <vector>

namespace quern::bench {

// `p` from 0 to 1. Requires: not empty. Reorders the samples.
[[nodiscard]] inline double percentile(std::vector<double>& samples, double p) {
  const auto at = static_cast<std::size_t>(p * static_cast<double>(samples.size() - 1));
  std::ranges::nth_element(samples, samples.begin() + static_cast<std::ptrdiff_t>(at));
  return samples[at];
}

// How many cores, and which.
void print_machine();

}  // namespace quern::bench
