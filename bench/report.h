// What all benchmarks measure and print alike.
#pragma once

#include <algorithm>
#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace quern::bench {

using Clock = std::chrono::steady_clock;

[[nodiscard]] inline double ms_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

// `p` from 0 to 1. Requires: not empty. Reorders the samples.
[[nodiscard]] inline double percentile(std::vector<double>& samples, double p) {
  const auto at = static_cast<std::size_t>(p * static_cast<double>(samples.size() - 1));
  std::ranges::nth_element(samples, samples.begin() + static_cast<std::ptrdiff_t>(at));
  return samples[at];
}

// What is measured, under a name; each round calls it once and notes what it returns, if anything.
struct Contender {
  std::string label;
  std::function<std::optional<double>()> measure;
  std::vector<double> samples{};
};

// Interleaved: all of them in each round.
void race(std::vector<Contender>& contenders, int rounds);

enum class Better { kLess, kMore };
// Each one's median and best, and its ratio to the first.
void print(const std::vector<Contender>& contenders, std::string_view unit, Better better = Better::kLess);

// How many cores, and which.
void print_machine();

}  // namespace quern::bench
