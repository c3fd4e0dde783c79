// End-to-end figures, each beside its limit, measured interleaved in one run. README.md says what.
#include <fmt/format.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <chrono>
#include <condition_variable>
#include <fstream>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "bench/floor.h"
#include "bench/report.h"
#include "bench/server.h"
#include "client/client.h"
#include "worker/jobs/hash/kdf.h"

namespace {

using namespace quern;

using bench::Clock;
using bench::percentile;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// ---- Round trip ----------------------------------------------------------------------------------------

void bench_round_trip(const bench::BenchServer& server) {
  bench::Floor floor;
  bench::PlainClient plain(server.socket_path());
  client::Client library({.socket_path = server.socket_path()});
  constexpr int kBatches = 40;
  constexpr int kTrips = 250;
  std::vector<double> floor_us;
  std::vector<double> quern_us;
  std::vector<double> library_us;
  const auto measure = [](std::vector<double>& into, auto trip) {
    for (int i = 0; i < kTrips; ++i) {
      const auto start = Clock::now();
      trip();
      into.push_back(seconds_since(start) * 1e6);
    }
  };
  for (int batch = 0; batch < kBatches; ++batch) {
    measure(floor_us, [&] { floor.round_trip(); });
    measure(quern_us, [&] { plain.noop(); });
    measure(library_us, [&] { (void)library.run({.kind = "debug.noop"}); });
  }
  const double floor_p50 = percentile(floor_us, 0.5);
  const auto row = [&](const char* label, std::vector<double>& samples) {
    fmt::print("  {:<34} p50 {:6.1f} us   p99 {:6.1f} us   {:4.2f} x floor\n", label, percentile(samples, 0.5),
               percentile(samples, 0.99), percentile(samples, 0.5) / floor_p50);
  };
  fmt::print("no-op round trip, one at a time ({} each, interleaved)\n", kBatches * kTrips);
  row("four bare hops (the floor)", floor_us);
  row("quern, plain socket client", quern_us);
  row("quern, client library (2 hops more)", library_us);
}

// ---- Reservations --------------------------------------------------------------------------------------

// What a job pays for asking the supervisor for memory, beside one that takes its worker's share.
void bench_reservation(const bench::BenchServer& server) {
  client::Client client({.socket_path = server.socket_path()});
  constexpr int kBatches = 40;
  constexpr int kTrips = 250;
  struct Case {
    const char* label;
    const char* params;
    std::vector<double> samples{};
  };
  Case cases[] = {{"16 MiB: the worker's share", R"({"bytes":16777216})"},
                  {"17 MiB: asked for", R"({"bytes":17825792})"},
                  {"17 MiB three times", R"({"bytes":17825792,"then_bytes":[0,17825792,0,17825792]})"}};
  for (int batch = 0; batch < kBatches; ++batch) {
    for (Case& each : cases) {
      for (int i = 0; i < kTrips; ++i) {
        const auto start = Clock::now();
        (void)client.run({.kind = "debug.reserve", .params_json = each.params});
        each.samples.push_back(seconds_since(start) * 1e6);
      }
    }
  }
  fmt::print("\na job that reserves memory, one at a time ({} each, interleaved)\n", kBatches * kTrips);
  const double share_us = percentile(cases[0].samples, 0.5);
  for (Case& each : cases) {
    const double p50 = percentile(each.samples, 0.5);
    fmt::print("  {:<34} p50 {:6.1f} us   p99 {:6.1f} us   {:+6.1f} us\n", each.label, p50,
               percentile(each.samples, 0.99), p50 - share_us);
  }
}

// ---- Throughput ----------------------------------------------------------------------------------------

// Keeps `in_flight` jobs going until `jobs` are answered; jobs per second.
double throughput(client::Client& client, const client::Job& job, int in_flight, int jobs) {
  struct State {
    std::atomic<int> to_send;
    std::atomic<int> to_answer;
    std::mutex mutex;
    std::condition_variable done;
    std::function<void()> send;
  } state{.to_send = jobs, .to_answer = jobs, .mutex = {}, .done = {}, .send = {}};
  state.send = [&] {
    if (state.to_send.fetch_sub(1) <= 0) return;
    client.submit(job, [&](Result<client::JobResult> result) {
      if (!result) fmt::print(stderr, "{}\n", to_string(result.error()));
      state.send();
      if (state.to_answer.fetch_sub(1) == 1) {
        const std::lock_guard lock(state.mutex);
        state.done.notify_one();
      }
    });
  };
  const auto start = Clock::now();
  for (int i = 0; i < in_flight; ++i) state.send();
  std::unique_lock lock(state.mutex);
  state.done.wait(lock, [&] { return state.to_answer.load() == 0; });
  return jobs / seconds_since(start);
}

void bench_throughput(const bench::BenchServer& server) {
  client::Client client({.socket_path = server.socket_path()});
  fmt::print("\nno-op jobs, one connection of the client library (median of 5)\n");
  for (const int in_flight : {1, 16, 256}) {
    std::vector<double> rates;
    for (int i = 0; i < 5; ++i)
      rates.push_back(throughput(client, {.kind = "debug.noop"}, in_flight, in_flight == 1 ? 10'000 : 200'000));
    fmt::print("  {:>4} in flight  {:>9.0f} jobs/s\n", in_flight, percentile(rates, 0.5));
  }
}

// ---- CPU work ------------------------------------------------------------------------------------------

// scrypt in bare loops, one process a core, as fast as this machine goes.
double bare_scrypt(unsigned processes, int each) {
  const auto start = Clock::now();
  std::vector<pid_t> pids;
  for (unsigned i = 0; i < processes; ++i) {
    const pid_t pid = ::fork();
    if (pid == 0) {
      const std::string_view password = "password";
      for (int n = 0; n < each; ++n) {
        (void)hash::scrypt(std::as_bytes(std::span(password.data(), password.size())),
                           std::as_bytes(std::span("salt", 4)), {});
      }
      ::_exit(0);
    }
    pids.push_back(pid);
  }
  for (const pid_t pid : pids) ::waitpid(pid, nullptr, 0);
  return static_cast<double>(processes) * each / seconds_since(start);
}

void bench_scrypt(const bench::BenchServer& server) {
  client::Client client({.socket_path = server.socket_path()});
  const unsigned cores = std::thread::hardware_concurrency();
  const client::Job job{
      .kind = "hash.scrypt", .params_json = R"({"salt":"salt"})", .parts = {client::Part::copy("password")}};
  std::vector<double> ratios;
  std::vector<double> bare;
  std::vector<double> quern;
  for (int i = 0; i < 7; ++i) {
    bare.push_back(bare_scrypt(cores, 20));
    quern.push_back(throughput(client, job, static_cast<int>(cores) * 2, static_cast<int>(cores) * 20));
    ratios.push_back(quern.back() / bare.back());
  }
  fmt::print("\nscrypt N=16384 r=8 p=1, {} workers (medians of 7, interleaved)\n", cores);
  fmt::print(
      "  bare loop, one process a core  {:7.1f} /s\n  quern                          {:7.1f} /s   {:.3f} x bare\n",
      percentile(bare, 0.5), percentile(quern, 0.5), percentile(ratios, 0.5));
}

// ---- Respawn -------------------------------------------------------------------------------------------

pid_t worker_of(client::Client& operators, std::string_view pool_name) {
  const auto document = boost::json::parse(operators.admin(wire::AdminOp::kStatus).value());
  for (const auto& pool : document.at("pools").as_array()) {
    const auto& workers = pool.at("workers").as_array();
    if (pool.at("name").as_string() != pool_name || workers.empty()) continue;
    if (const auto pid = static_cast<pid_t>(workers[0].at("pid").as_int64()); pid > 0) return pid;
  }
  throw std::runtime_error("the pool has no worker");  // whose pid is returned is killed, and kill(-1) would kill all
}

// From the kill of a pool's only worker to the answer of the next job.
void bench_respawn(const bench::BenchServer& server) {
  client::Client client({.socket_path = server.socket_path()});
  client::Client operators({.socket_path = server.admin_path()});
  fmt::print("\nSIGKILL of a pool's only worker to the next job's answer (median and worst of 50)\n");
  struct Case {
    const char* pool;
    client::Job job;
  };
  const Case cases[] = {
      {"single", {.kind = "debug.noop"}},
      {"image",
       {.kind = "image.resize", .params_json = R"({"width":1})", .parts = {client::Part::copy("no picture")}}}};
  for (const Case& each : cases) {
    std::vector<double> samples;
    for (int i = 0; i < 50; ++i) {
      (void)client.run(each.job);  // a finished job: the deaths are no crash loop
      const pid_t pid = worker_of(operators, each.pool);
      const auto start = Clock::now();
      ::kill(pid, SIGKILL);
      while (::kill(pid, 0) == 0) std::this_thread::yield();  // reaped: the supervisor knows
      (void)client.run(each.job);
      samples.push_back(seconds_since(start) * 1e3);
    }
    fmt::print("  pool {:<8} {:6.2f} ms  worst {:6.2f} ms\n",
               each.pool == std::string_view("single") ? "debug" : each.pool, percentile(samples, 0.5),
               *std::ranges::max_element(samples));
  }
}

}  // namespace

int main() {
  bench::print_machine();
  {
    const bench::BenchServer server("[pools.debug]\nmodules = ['debug']\n[pools.hash]\nmodules = ['hash']\n");
    bench_round_trip(server);
    bench_reservation(server);
    bench_throughput(server);
    bench_scrypt(server);
  }
  const bench::BenchServer single(
      "[pools.single]\nmodules = ['debug']\nworkers = 1\n[pools.image]\nmodules = ['image']\nworkers = 1\n");
  bench_respawn(single);
  return 0;
}
