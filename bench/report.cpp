#include "bench/report.h"

#include <fmt/format.h>

#include <fstream>
#include <string>
#include <thread>

namespace quern::bench {

void print_machine() {
  std::ifstream cpuinfo("/proc/cpuinfo");
  std::string line;
  while (std::getline(cpuinfo, line) && !line.starts_with("model name")) {
  }
  fmt::print("machine: {} cores, {}\n\n", std::thread::hardware_concurrency(),
             line.size() > 13 ? line.substr(line.find(':') + 2) : "unknown processor");
}

}  // namespace quern::bench
