// Pictures through Quern and through sharp, on its own and inside piscina: the same inputs, two workers each,
// interleaved; and how good they are. README.md says how to read it.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/json/object.hpp>
#include <cmath>
#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <string>
#include <vector>

#include "bench/equal_ssim.h"
#include "bench/image_likeness.h"
#include "bench/peer_process.h"
#include "bench/report.h"
#include "bench/scratch.h"
#include "bench/server.h"
#include "client/client.h"

namespace {

using namespace quern;
namespace json = boost::json;

using bench::bytes;
using bench::Case;
using bench::Clock;
using bench::EqualSsim;
using bench::File;
using bench::likeness;
using bench::Likeness;
using bench::PeerProcess;
using bench::percentile;
using bench::read_file;
using bench::resized;

constexpr int kRoundsDefault = 7;
constexpr int kInFlight = 4;      // two that run and two that are ready
constexpr double kRoundMs = 700;  // a contender and a round
constexpr std::array kQualities{68, 72, 76, 80, 84, 88, 92};

std::string label(const Case& each) {
  return fmt::format("{:<5} {:>4} x {:<4} {:<4}", std::filesystem::path(each.input).extension().string().substr(1),
                     each.width, each.height, each.format);
}

// ---- Quern ---------------------------------------------------------------------------------------------

// Jobs a second with kInFlight of them at once; the trips' milliseconds are added to `trips`.
double quern_rate(client::Client& client, const Case& each, const File& input, int jobs, std::vector<double>& trips) {
  std::mutex mutex;
  std::condition_variable done;
  int left = jobs;
  int running = 0;
  const std::string params = params_of(each);
  const auto start = Clock::now();
  std::unique_lock lock(mutex);
  while (left > 0 || running > 0) {
    done.wait(lock, [&] { return left == 0 ? running == 0 : running < kInFlight; });
    if (left == 0) break;
    --left;
    ++running;
    lock.unlock();
    client::Job job{.kind = "image.resize", .params_json = params, .parts = {client::Part::copy(bytes(input))}};
    (void)client.submit(std::move(job), [&, asked = Clock::now()](const Result<client::JobResult>& result) {
      if (!result) std::terminate();
      const std::lock_guard guard(mutex);
      trips.push_back(bench::ms_since(asked));
      --running;
      done.notify_one();
    });
    lock.lock();
  }
  return jobs / (bench::ms_since(start) / 1e3);
}

// ---- Quality -------------------------------------------------------------------------------------------

struct Made {
  std::size_t bytes = 0;
  Likeness likeness;
};

struct Quality {
  Made quern;
  Made sharp;
  EqualSsim bytes;  // ours to sharp's, at sharp's SSIM; of lossless files, as they are
};

Quality measure_quality(client::Client& client, const PeerProcess& node, const Case& each, const std::string& path) {
  const File reference = bench::exact(each);
  const auto made = [&](const File& file) { return Made{file.size(), likeness(client, reference, file)}; };
  Quality quality;
  quality.quern = made(resized(client, each));
  if (!node.ask(sharp_command("write", each, {{"to", path}}))) throw std::runtime_error("sharp made nothing");
  quality.sharp = made(read_file(path));
  if (each.format == "png") {
    quality.bytes.ratio = static_cast<double>(quality.quern.bytes) / static_cast<double>(quality.sharp.bytes);
    return quality;
  }
  std::vector<std::pair<double, double>> curve;
  for (const int q : kQualities) {
    const Made at = made(resized(client, each, q));
    curve.emplace_back(at.likeness.ssim, static_cast<double>(at.bytes));
  }
  quality.bytes = bench::at_equal_ssim(curve, quality.sharp.likeness.ssim, static_cast<double>(quality.sharp.bytes));
  return quality;
}

// ---- Speed ---------------------------------------------------------------------------------------------

struct Speed {
  std::vector<double> quern;
  std::vector<double> sharp;
  std::vector<double> piscina;
  std::vector<double> quern_trips;
  std::vector<double> piscina_p50;
};

Speed measure_speed(client::Client& client, const PeerProcess& node, const Case& each, int rounds) {
  const File input = read_file(each.input);
  Speed speed;
  std::vector<double> ignored;
  const auto ask = [&](const char* pool, int jobs) {
    return node.ask(sharp_command("rate", each, {{"pool", pool}, {"jobs", jobs}, {"in_flight", kInFlight}}))
        .value_or(0);
  };
  // warm, and how many fill a round
  const auto jobs_for = [](double rate) { return std::max(kInFlight, static_cast<int>(rate * kRoundMs / 1e3)); };
  const int quern_jobs = jobs_for(quern_rate(client, each, input, 2 * kInFlight, ignored));
  const int sharp_jobs = jobs_for(ask("sharp", 2 * kInFlight));
  const int piscina_jobs = jobs_for(ask("piscina", 2 * kInFlight));
  for (int round = 0; round < rounds; ++round) {
    speed.quern.push_back(quern_rate(client, each, input, quern_jobs, speed.quern_trips));
    speed.sharp.push_back(ask("sharp", sharp_jobs));
    speed.piscina.push_back(ask("piscina", piscina_jobs));
    speed.piscina_p50.push_back(node.ask(R"({"do":"p50"})").value_or(0));
  }
  return speed;
}

double median(std::vector<double> samples) { return percentile(samples, 0.5); }

void print_header() {
  fmt::print("{:<24} {:>29}   {:>17}   {:>6}   {:>17}   {:>15}   {:>15}  {}\n", "", "jobs/s", "p50 ms", "ratio",
             "bytes", "SSIM", "PSNR", "bytes");
  fmt::print("{:<24} {:>9} {:>9} {:>9}   {:>8} {:>8}   {:>6}   {:>8} {:>8}   {:>7} {:>7}   {:>7} {:>7}  {}\n", "",
             "Quern", "sharp", "piscina", "Quern", "piscina", "", "Quern", "sharp", "Quern", "sharp", "Quern", "sharp",
             "at equal SSIM");
}

struct Outcome {
  double speed_ratio = 0;  // ours to sharp's in piscina
  EqualSsim bytes;
};

Outcome run_case(client::Client& client, const PeerProcess& node, const Case& each, int rounds,
                 const bench::Scratch& scratch) {
  const Speed speed = measure_speed(client, node, each, rounds);
  const Quality quality = measure_quality(client, node, each, scratch.path("sharp"));
  const double ratio = median(speed.quern) / median(speed.piscina);
  fmt::print(
      "{:<24} {:9.1f} {:9.1f} {:9.1f}   {:8.1f} {:8.1f}   {:6.2f}   {:8} {:8}   {:7.5f} {:7.5f}   {:7.2f} {:7.2f}  "
      "{}\n",
      label(each), median(speed.quern), median(speed.sharp), median(speed.piscina), median(speed.quern_trips),
      median(speed.piscina_p50), ratio, quality.quern.bytes, quality.sharp.bytes, quality.quern.likeness.ssim,
      quality.sharp.likeness.ssim, quality.quern.likeness.psnr, quality.sharp.likeness.psnr, to_string(quality.bytes));
  std::fflush(stdout);
  return {.speed_ratio = ratio, .bytes = quality.bytes};
}

// What the module is held to.
constexpr double kMeanTarget = 2.0;
constexpr double kLeastTarget = 1.1;
constexpr double kBytesTarget = 1.05;

void print_summary(const std::vector<Outcome>& outcomes) {
  double product = 0;
  double least = INFINITY;
  double bytes = 0;
  int never_as_good = 0;
  for (const Outcome& each : outcomes) {
    product += std::log(each.speed_ratio);
    least = std::min(least, each.speed_ratio);
    bytes = std::max(bytes, each.bytes.ratio);
    if (each.bytes.reach == bench::Reach::kNeverAsGood) ++never_as_good;
  }
  const double mean = std::exp(product / static_cast<double>(outcomes.size()));
  const auto verdict = [](bool met) { return met ? "met" : "missed"; };
  fmt::print("\n{} cases beside sharp in piscina\n", outcomes.size());
  fmt::print("  geometric mean         {:5.2f} x, target at least {:4.2f}: {}\n", mean, kMeanTarget,
             verdict(mean >= kMeanTarget));
  fmt::print("  least                  {:5.2f} x, target at least {:4.2f}: {}\n", least, kLeastTarget,
             verdict(least >= kLeastTarget));
  fmt::print("  most bytes, equal SSIM {:5.3f} x, target at most {:5.2f}: {}\n", bytes, kBytesTarget,
             verdict(std::ranges::all_of(outcomes, [](const Outcome& o) { return meets(o.bytes, kBytesTarget); })));
  if (never_as_good > 0) fmt::print("  never as good as sharp  in {} of them, at any quality\n", never_as_good);
}

int run(const std::vector<std::string>& inputs, int rounds) {
  const bench::BenchServer server("[pools.image]\nmodules = ['image']\nworkers = 2\n");
  client::Client client({.socket_path = server.socket_path()});
  const PeerProcess node(std::vector<std::string>{"node", QUERN_PEERS "/sharp.js"});
  const bench::Scratch scratch;
  print_header();
  std::vector<Outcome> outcomes;
  for (const std::string& input : inputs) {
    for (const auto& [width, height] : {std::pair(320, 240), std::pair(1200, 800)}) {
      for (const char* format : {"webp", "jpeg", "png"}) {
        outcomes.push_back(run_case(client, node, {input, width, height, format}, rounds, scratch));
      }
    }
  }
  print_summary(outcomes);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::string> inputs(argv + 1, argv + argc);
  int rounds = kRoundsDefault;
  constexpr std::string_view kRounds = "--rounds=";
  if (!inputs.empty() && inputs.front().starts_with(kRounds)) {
    rounds = std::max(1, std::atoi(inputs.front().c_str() + kRounds.size()));
    inputs.erase(inputs.begin());
  }
  if (inputs.empty()) {
    fmt::print(
        "bench_images: give it pictures: scripts/bench images [--rounds=N] photo.jpg transparent.png picture.webp\n");
    return 0;
  }
  bench::print_machine();
  try {
    return run(inputs, rounds);
  } catch (const std::exception& error) {
    fmt::print(stderr, "bench_images: {}\n", error.what());
    return 1;
  }
}
