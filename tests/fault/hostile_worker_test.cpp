// A worker that has been taken over. One pool's jobs attack the supervisor from inside their sandbox in
// every way that hostile_module.cpp knows, while another pool works. The supervisor stays up, holds no
// more than before, says of each incident what it was, and answers every job once; the other pool's jobs
// are answered right, and in time.
//
// QUERN_LONG=1 in the environment makes it twenty times as long; QUERN_SEED repeats a run.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>
#include <fstream>
#include <map>
#include <memory>
#include <random>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "common/sanitizer.h"
#include "tests/integration/hanging_file.h"
#include "tests/integration/raw_client.h"
#include "tests/integration/server.h"

namespace quern::test {
namespace {

using client::Job;
using client::Part;
using Clock = std::chrono::steady_clock;

constexpr std::array kModes{"memory",   "words",   "descriptors", "completions", "result_parts",
                            "channel",  "tail",    "forge",       "messages",    "descriptor_flood",
                            "doorbell", "flicker", "hang_up",     "stream",      "several"};

// Far above what a run on a loaded machine shows, far below what anybody would call hanging.
constexpr auto kNeighbourP99Max = kSanitized ? 2000ms : 250ms;
constexpr auto kAnswerMax = 30s;
constexpr std::uint64_t kMemoryGrowthKiBMax = 8 << 10;

std::size_t rounds() {
  const std::size_t few = kSanitized ? 100 : 300;
  return ::getenv("QUERN_LONG") != nullptr ? 20 * few : few;
}

std::uint64_t seed() {
  const char* given = ::getenv("QUERN_SEED");
  return given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
}

std::uint64_t resident_kib(pid_t pid) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmRSS:")) return std::stoull(line.substr(6));
  }
  return 0;
}

// ---- The other pool --------------------------------------------------------------------------------

// Runs jobs of the debug pool one after the other, small ones and ones whose bytes travel in
// descriptors, for as long as it lives.
class Neighbour {
 public:
  explicit Neighbour(const Server& server)
      : client_(std::make_unique<client::Client>(
            client::ClientOptions{.socket_path = server.socket_path(), .name = "neighbour"})),
        thread_([this] { run(); }) {}
  Neighbour(const Neighbour&) = delete;
  Neighbour& operator=(const Neighbour&) = delete;
  ~Neighbour() { stop(); }
  // Also hangs up, so that the server holds nothing for it.
  void stop() {
    stop_ = true;
    if (thread_.joinable()) thread_.join();
    client_.reset();
  }

  // After stop().
  [[nodiscard]] const std::vector<std::string>& complaints() const { return complaints_; }
  [[nodiscard]] std::size_t jobs() const { return took_.size(); }
  [[nodiscard]] Clock::duration quantile(double fraction) {
    std::ranges::sort(took_);
    return took_.empty() ? Clock::duration{} : took_[static_cast<std::size_t>(fraction * double(took_.size() - 1))];
  }

 private:
  void run() {
    for (std::size_t number = 0; !stop_; ++number) {
      const std::string text = fmt::format("{:0{}}", number, number % 4 == 0 ? 200'000 : 100);
      const auto began = Clock::now();
      const auto result = client_->run({.kind = "debug.echo", .parts = {Part::copy(text)}, .timeout = kAnswerMax});
      took_.push_back(Clock::now() - began);
      if (!result) {
        complaints_.push_back(to_string(result.error()));
      } else if (result->parts.size() != 1 || result->parts[0].text() != text || result->info.attempts != 1) {
        complaints_.push_back("a wrong answer");
      }
    }
  }

  std::unique_ptr<client::Client> client_;
  std::vector<Clock::duration> took_;
  std::vector<std::string> complaints_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

// ---- The log ---------------------------------------------------------------------------------------

// How many workers of the pool died, by the cause's first word in the log.
std::map<std::string, std::uint64_t> deaths_in(const std::string& log) {
  std::map<std::string, std::uint64_t> deaths;
  std::istringstream lines(log);
  for (std::string line; std::getline(lines, line);) {
    if (line.find("event=worker_died pool=hostile") == std::string::npos) continue;
    const auto at = line.find("cause=");
    std::string cause = line.substr(at + 6 + (line[at + 6] == '"' ? 1U : 0U));
    ++deaths[cause.substr(0, cause.find_first_of(" \""))];
  }
  return deaths;
}

// The same words for what status says.
std::map<std::string, std::uint64_t> deaths_in(const boost::json::object& pool) {
  const std::map<std::string, std::string> words{{"exited", "exit"},
                                                 {"signaled", "signal"},
                                                 {"sandbox_violation", "forbidden"},
                                                 {"channel_corrupt", "channel"},
                                                 {"run_timeout", "run"}};
  std::map<std::string, std::uint64_t> deaths;
  for (const auto& [cause, count] : pool.at("deaths").as_object()) {
    const auto word = words.find(std::string(cause));
    deaths[word == words.end() ? std::string(cause) : word->second] += count.to_number<std::uint64_t>();
  }
  return deaths;
}

std::uint64_t total(const std::map<std::string, std::uint64_t>& counts) {
  std::uint64_t sum = 0;
  for (const auto& [word, count] : counts) sum += count;
  return sum;
}

// ---- The attack ------------------------------------------------------------------------------------

class Scene {
 public:
  explicit Scene(unsigned hostile_workers = 2, unsigned run_timeout_ms = 200)
      : server_(fmt::format("[pools.hostile]\nmodules = ['{}']\nworkers = {}\nattempts = 1\nquarantine_deaths = 0\n"
                            "run_timeout_ms = {}\ncancel_grace_ms = 50\n"
                            "[pools.debug]\nmodules = ['debug']\nworkers = 1\n",
                            HOSTILE_MODULE, hostile_workers, run_timeout_ms)) {
    EXPECT_TRUE(client_.ping());  // connected from now on
  }

  [[nodiscard]] const Server& server() const { return server_; }
  [[nodiscard]] client::Client& client() { return client_; }

  // Runs a job of the hostile pool; any answer will do, but exactly one.
  void run(Job job) {
    const std::string what = job.kind + " " + job.params_json;
    auto answers = std::make_shared<std::atomic<int>>(0);
    all_.push_back(answers);
    client_.submit(std::move(job), [answers](const Result<client::JobResult>& result) {
      EXPECT_TRUE(result || result.error().code != ErrorCode::kUnreachable) << to_string(result.error());
      ++*answers;
    });
    EXPECT_TRUE(eventually([&] { return *answers > 0; }, kAnswerMax)) << "no answer to " << what;
  }

  // Both pools whole and idle, and the hostile one's workers new or proven.
  [[nodiscard]] bool settled() {
    for (const char* name : {"hostile", "debug"}) {
      const boost::json::object pool = operator_.pool(name);
      const auto& workers = pool.at("workers").as_array();
      if (pool.at("queued").to_number<int>() != 0 || pool.at("running").to_number<int>() != 0) return false;
      if (workers.size() != pool.at("workers_target").to_number<std::size_t>()) return false;
      for (const auto& worker : workers) {
        if (worker.at("state").as_string() != "idle") return false;
      }
    }
    return true;
  }

  // Whether every job of the hostile pool has one answer.
  [[nodiscard]] bool each_answered_once() {
    EXPECT_TRUE(client_.ping());  // what the server had to say to us before is here
    return std::ranges::all_of(all_, [](const auto& answers) { return *answers == 1; });
  }
  [[nodiscard]] std::size_t jobs() const { return all_.size(); }

 private:
  Server server_;
  std::vector<std::shared_ptr<std::atomic<int>>> all_;
  client::Client client_ = server_.connect();
  Operator operator_{server_};
};

Job attack(const char* mode, std::uint64_t seed) {
  Job job{.kind = "hostile.scribble",
          .params_json = fmt::format(R"({{"mode":"{}","seed":{}}})", mode, seed),
          .parts = {Part::copy("small")}};
  if (std::string_view(mode) == "stream" || seed % 4 == 0) {
    job.on_bytes = [](std::span<const std::byte>) {};  // what it says is its own affair
  }
  return job;
}

// One whose bytes come in a descriptor, over the control socket.
Job large(std::size_t number) {
  return {.kind = "hostile.calm", .parts = {Part::copy(fmt::format("{:0100000}", number))}};
}

TEST(HostileWorker, HarmsNobodyButItsOwnPool) {
  const std::uint64_t chosen = seed();
  fmt::print("hostile worker: QUERN_SEED={}\n", chosen);
  std::mt19937_64 random(chosen);
  Scene scene;
  const Server& server = scene.server();
  ASSERT_TRUE(eventually([&] { return scene.settled(); }));
  const Holdings before = server.holdings();
  Neighbour neighbour(server);

  const std::size_t count = rounds();
  std::size_t done = 0;
  std::uint64_t memory_before = 0;
  for (std::size_t round = 0; round < count && !::testing::Test::HasFailure(); ++round) {
    if (round == count / 5) memory_before = resident_kib(server.pid());  // warmed up
    const char* mode = kModes[round % kModes.size()];
    const std::uint64_t round_seed = random() >> 1;
    SCOPED_TRACE(fmt::format("round {}: {} {}", round, mode, round_seed));
    scene.run(attack(mode, round_seed));
    // a job that behaves ends a row of deaths; one that comes in a descriptor needs the control socket
    scene.run({.kind = "hostile.calm", .parts = {Part::copy(fmt::format("round {}", round))}});
    if (round % 3 == 0) scene.run(large(round));
    ++done;
  }

  neighbour.stop();
  EXPECT_THAT(neighbour.complaints(), ::testing::IsEmpty());
  EXPECT_LE(neighbour.quantile(0.99), kNeighbourP99Max);
  EXPECT_TRUE(scene.each_answered_once());
  EXPECT_EQ(server.status().at("pid").to_number<pid_t>(), server.pid());
  EXPECT_TRUE(eventually([&] { return scene.settled(); }, kAnswerMax)) << boost::json::serialize(server.status());
  EXPECT_TRUE(eventually([&] { return server.holdings() == before; }))
      << "before: " << before << "\nnow:    " << server.holdings();
  const std::uint64_t memory = resident_kib(server.pid());
  EXPECT_TRUE(kSanitized || memory <= memory_before + kMemoryGrowthKiBMax) << memory_before << " KiB, then " << memory;

  const boost::json::object pool = server.pool("hostile");
  std::uint64_t errors = 0;
  for (const auto& [code, times] : pool.at("errors").as_object()) {
    EXPECT_THAT(std::string(code), ::testing::Not(::testing::AnyOf("unknown", "unreachable", "busy", "not_found")))
        << "no worker knows";
    errors += times.to_number<std::uint64_t>();
  }
  EXPECT_EQ(errors, pool.at("failed").to_number<std::uint64_t>());
  EXPECT_EQ(pool.at("accepted").to_number<std::uint64_t>(), scene.jobs());
  EXPECT_EQ(pool.at("succeeded").to_number<std::uint64_t>() + errors, scene.jobs());

  const auto logged = deaths_in(server.log());
  const auto counted = deaths_in(pool);
  EXPECT_EQ(logged, counted);
  const std::string log = server.log();
  EXPECT_LE(std::ranges::count(log, '\n'), static_cast<std::ptrdiff_t>(3 * total(counted) + 20)) << "no storm of lines";

  const auto us = [](Clock::duration time) {
    return std::chrono::duration_cast<std::chrono::microseconds>(time).count();
  };
  fmt::print("hostile worker: {} rounds, {} incidents, {} jobs answered once; memory {} -> {} KiB\n", done,
             total(counted), scene.jobs(), memory_before, memory);
  for (const auto& [cause, times] : counted) fmt::print("hostile worker:   {} x {}\n", times, cause);
  fmt::print("hostile worker: the other pool: {} jobs, {} wrong or lost, p50 {} us, p99 {} us, max {} us\n",
             neighbour.jobs(), neighbour.complaints().size(), us(neighbour.quantile(0.5)), us(neighbour.quantile(0.99)),
             us(neighbour.quantile(1)));
}

TEST(HostileWorker, ThatClosesItsSocketHoldsUpNoJob) {
  Scene scene;
  for (std::size_t round = 0; round < 20; ++round) {
    (void)scene.client().run(attack("deaf", round));
    Job next = large(round);
    next.timeout = 10s;
    const auto result = scene.client().run(std::move(next));
    ASSERT_TRUE(result) << to_string(result.error());
    EXPECT_EQ(result->info.attempts, 1U) << "it never began where it could not be received";
    EXPECT_EQ(result->parts[0].bytes().size(), 100'000U);
  }
  EXPECT_GT(deaths_in(scene.server().pool("hostile"))["channel"], 5U);
}

TEST(HostileWorker, ThatHandsBackAFileThatHangsHoldsUpNobodyElse) {
  if (!HangingFile::possible()) GTEST_SKIP() << "needs root and FUSE";
  Scene scene(1, 5'000);  // its end is its own doing
  Operator op(scene.server());
  HangingFile file;
  RawClient client(scene.server());
  client.greet();
  const wire::Part part{.bytes = 5, .data = ipc::as_bytes("small")};
  wire::Buffer submit;
  wire::FrameBuilder frame(submit, wire::FrameType::kSubmit, 1, 1);
  wire::encode_submit_head(frame.body(), "hostile.scribble", {.attempts = 1, .output_file = true});
  wire::encode_job_body(frame.body(), R"({"mode":"hand_back","seed":1})", {&part, 1});
  frame.finish();
  const int fds[] = {file.fd()};
  ASSERT_TRUE(client.send(submit, fds));
  // the worker closes it in its death, and can't die of that; its successor is there once we have let go of its own
  const auto replaced = [&] {
    const boost::json::object pool = op.pool("hostile");
    return scene.server().log().find("event=worker_stuck") != std::string::npos &&
           pool.at("workers").as_array().size() == 1 && pool.at("workers").at(0).at("state").as_string() == "idle";
  };
  EXPECT_TRUE(eventually(replaced, kAnswerMax));
  EXPECT_EQ(client.receive().type, wire::FrameType::kError);
  EXPECT_EQ(deaths_in(scene.server().pool("hostile"))["channel"], 1U);
  EXPECT_TRUE(scene.client().run({.kind = "debug.noop", .timeout = 5s}));
  EXPECT_EQ(file.waiting(), 2) << "the worker, and a thread of the supervisor's";
}

TEST(HostileWorker, ThatAnswersWhatItHasNotReceivedIsEnded) {
  Scene scene(1, 5'000);  // its end is its own doing
  auto usurper = scene.client().submit(attack("usurp", 1));
  std::vector<std::future<Result<client::JobResult>>> answers;
  for (std::size_t i = 0; i < 1000; ++i) answers.push_back(scene.client().submit(large(i)));
  for (auto& answer : answers) ASSERT_EQ(answer.wait_for(kAnswerMax), std::future_status::ready);
  EXPECT_TRUE(usurper.get()) << "it answered itself";
  EXPECT_EQ(deaths_in(scene.server().pool("hostile"))["channel"], 1U);
  EXPECT_EQ(answers.back().get()->parts.size(), 1U) << "by its successor";
}

}  // namespace
}  // namespace quern::test
