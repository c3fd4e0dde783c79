#include "bench/report.h"

#include <fmt/format.h>

#include <fstream>
#include <string>
#include <thread>

namespace quern::bench {

void race(std::vector<Contender>& contenders, int rounds) {
  for (int round = 0; round < rounds; ++round) {
    for (Contender& each : contenders) {
      if (const auto sample = each.measure()) each.samples.push_back(*sample);
    }
  }
}

void print(const std::vector<Contender>& contenders, std::string_view unit, Better better) {
  std::vector<double> first = contenders.front().samples;
  const double floor = percentile(first, 0.5);
  for (const Contender& each : contenders) {
    std::vector<double> samples = each.samples;
    if (samples.empty()) {
      fmt::print("  {:<58} not measured\n", each.label);
      continue;
    }
    const double median = percentile(samples, 0.5);
    const double best = better == Better::kLess ? std::ranges::min(samples) : std::ranges::max(samples);
    fmt::print("  {:<58} {:9.3f} {}   (best {:9.3f})   {:7.2f} x the first\n", each.label, median, unit, best,
               median / floor);
  }
  fmt::print("\n");
}

void print_machine() {
  std::ifstream cpuinfo("/proc/cpuinfo");
  std::string line;
  while (std::getline(cpuinfo, line) && !line.starts_with("model name")) {
  }
  std::string huge_pages;
  std::getline(std::ifstream("/sys/kernel/mm/transparent_hugepage/shmem_enabled"), huge_pages);
  fmt::print("machine: {} cores, {}; huge pages in shared memory: {}\n\n", std::thread::hardware_concurrency(),
             line.size() > 13 ? line.substr(line.find(':') + 2) : "unknown processor",
             huge_pages.empty() ? "unknown" : huge_pages);
}

}  // namespace quern::bench
