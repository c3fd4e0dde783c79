// How near lossless results of Quern and of sharp come to an exact Lanczos of the same pixels: charts, and the pictures
// that are given. README.md says how to read it.
#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "bench/charts.h"
#include "bench/image_likeness.h"
#include "bench/peer_process.h"
#include "bench/report.h"
#include "bench/scratch.h"
#include "bench/server.h"
#include "client/client.h"

namespace {

using namespace quern;
using bench::Case;
using bench::File;
using bench::likeness;
using bench::Likeness;

struct Subject {
  std::string name;
  std::string path;
};

std::vector<Subject> subjects(const std::vector<std::string>& pictures, const bench::Scratch& scratch) {
  std::vector<Subject> all;
  for (const bench::Chart& chart : bench::charts()) {
    const std::string path = scratch.path(std::string(chart.name) + ".png");
    const File file = bench::as_png(chart.picture);
    std::ofstream(path, std::ios::binary).write(file.data(), static_cast<std::streamsize>(file.size()));
    all.push_back({.name = chart.name, .path = path});
  }
  for (const std::string& path : pictures) {
    all.push_back({.name = std::filesystem::path(path).filename().string(), .path = path});
  }
  return all;
}

// Returns whether ours is no worse.
bool compare(client::Client& client, const bench::PeerProcess& node, const Subject& subject, const Case& each,
             const bench::Scratch& scratch) {
  const File reference = bench::exact(each);
  const std::string theirs = scratch.path("sharp");
  if (!node.ask(bench::sharp_command("write", each, {{"to", theirs}}))) throw std::runtime_error("sharp made nothing");
  const Likeness quern = likeness(client, reference, resized(client, each));
  const Likeness sharp = likeness(client, reference, bench::read_file(theirs));
  const bool no_worse = quern.ssim >= sharp.ssim && quern.psnr >= sharp.psnr;
  fmt::print("{:<28} {:>5} x {:<5}   {:8.6f} {:8.6f}   {:7.2f} {:7.2f}   {}\n", subject.name, each.width, each.height,
             quern.ssim, sharp.ssim, quern.psnr, sharp.psnr, no_worse ? "" : "worse");
  std::fflush(stdout);
  return no_worse;
}

int run(const std::vector<std::string>& pictures) {
  const bench::Scratch scratch;
  const bench::BenchServer server("[pools.image]\nmodules = ['image']\nworkers = 1\n");
  client::Client client({.socket_path = server.socket_path()});
  const bench::PeerProcess node(std::vector<std::string>{"node", QUERN_PEERS "/sharp.js"});
  fmt::print("{:<28} {:>13}   {:>17}   {:>15}\n", "as PNG", "", "SSIM", "PSNR");
  fmt::print("{:<28} {:>13}   {:>8} {:>8}   {:>7} {:>7}\n", "", "", "Quern", "sharp", "Quern", "sharp");
  int cases = 0;
  int no_worse = 0;
  for (const Subject& subject : subjects(pictures, scratch)) {
    for (const auto& [width, height] : {std::pair(320, 240), {137, 101}, {640, 480}, {1200, 800}}) {
      const Case each{.input = subject.path, .width = width, .height = height, .format = "png"};
      no_worse += compare(client, node, subject, each, scratch) ? 1 : 0;
      ++cases;
    }
  }
  fmt::print("\n{} of {} cases: SSIM and PSNR no lower than sharp's\n", no_worse, cases);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  bench::print_machine();
  try {
    return run({argv + 1, argv + argc});
  } catch (const std::exception& error) {
    fmt::print(stderr, "bench_quality: {} (it needs Node and, in bench/peers, npm install)\n", error.what());
    return 1;
  }
}
