// Everything at once: client processes with mixed jobs on two pools, some of which die or stop in the middle,
// while an agent kills and stops workers, kills templates, and resizes, drains, pauses and restarts the
// pools. Afterwards the clients' ledgers are checked against what must be:
//
// - every request of a client that lived has one answer, and no two requests share a job;
// - every success has the right bytes, every error is one that this job can get in this chaos;
// - the server has answered what it accepted, is back at its size, idle, and holds what it held before.
//
// QUERN_LONG=1 in the environment makes each test QUERN_SECONDS (300) long; QUERN_SEED repeats its blows.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>

#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>
#include <fstream>
#include <random>
#include <string>
#include <unordered_set>

#include "common/sanitizer.h"
#include "tests/fault/chaos_agent.h"
#include "tests/fault/chaos_client.h"
#include "tests/integration/server.h"

namespace quern::test {
namespace {

constexpr std::size_t kClients = 4;
constexpr auto kRestMax = 60s;  // from the last blow to a server at rest
constexpr std::uint64_t kMemoryGrowthKiBMax = 8 << 10;
constexpr std::chrono::milliseconds kLongWave{10'000};
constexpr std::chrono::milliseconds kShortWave{2'000};
constexpr int kShortWaves = 3;

std::uint64_t number_from(const char* variable, std::uint64_t fallback) {
  const char* given = ::getenv(variable);
  return given != nullptr ? std::strtoull(given, nullptr, 10) : fallback;
}

std::uint64_t resident_kib(pid_t pid) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmRSS:")) return std::stoull(line.substr(6));
  }
  return 0;
}

struct Tally {
  std::size_t requests = 0;  // of clients that lived
  std::size_t succeeded = 0;
  std::size_t refused = 0;  // and sent again
  std::size_t failed = 0;
  std::size_t lost = 0;
  std::size_t twice = 0;
  std::size_t wrong = 0;
  [[nodiscard]] std::size_t harm() const { return lost + twice + wrong; }
};

class Chaos {
 public:
  Chaos(bool unique, std::string_view pool_settings, std::uint64_t seed)
      : random_(seed),
        server_(fmt::format("[pools.debug]\nmodules = ['debug']\nworkers = 4\n{0}"
                            "[pools.hash]\nmodules = ['hash']\nworkers = 2\n{0}",
                            fmt::format("memory_budget_bytes = {}\n{}", kChaosBudgetBytes, pool_settings))),
        crowd_(server_.directory(), server_.socket_path(), unique),
        agent_(server_, crowd_, {{"debug", 4}, {"hash", 2}}, random_()) {
    EXPECT_TRUE(eventually([&] { return at_rest(); }));
    before_ = server_.holdings();
    children_before_ = server_.children().size();
  }

  // Load and blows, and the way back to rest.
  void wave(std::chrono::milliseconds time) {
    for (std::size_t i = 0; i < kClients; ++i) crowd_.add(random_(), time);
    agent_.rage(time);
    agent_.heal();
    EXPECT_TRUE(eventually(
        [&] {
          crowd_.reap();
          return crowd_.running() == 0;
        },
        2 * kRestMax))
        << crowd_.running() << " clients wait: " << boost::json::serialize(server_.status());
    EXPECT_TRUE(eventually([&] { return at_rest(); }, kRestMax)) << boost::json::serialize(server_.status());
    for (const Ledger& ledger : crowd_.take_ledgers()) check(ledger);
    check_server();
  }

  [[nodiscard]] std::uint64_t memory_kib() const { return resident_kib(server_.pid()); }
  [[nodiscard]] const Tally& tally() const { return tally_; }
  [[nodiscard]] const Blows& blows() const { return agent_.blows(); }
  [[nodiscard]] std::size_t clients() const { return crowd_.started(); }

 private:
  [[nodiscard]] bool at_rest() { return operator_.at_rest(2); }  // this operator and the agent's

  void check(const Ledger& ledger) {
    for (const Entry& entry : ledger.entries) {
      ++tally_.requests;
      if (entry.answers == 0) ++tally_.lost;
      if (entry.answers > 1 || (entry.job_id != 0 && !job_ids_.insert(entry.job_id).second)) ++tally_.twice;
      if (entry.answers == 0) continue;
      if (entry.succeeded) {
        ++tally_.succeeded;
        if (!entry.right) ++tally_.wrong;
      } else if (!explained(entry)) {
        ++tally_.wrong;
        ADD_FAILURE() << "content " << static_cast<int>(entry.content) << " failed with " << name(entry.code) << " ("
                      << describe(entry.cause) << ")";
      } else {
        ++(entry.code == ErrorCode::kUnavailable ? tally_.refused : tally_.failed);
      }
    }
  }

  void check_server() {
    // some contents have ended their workers and never succeeded
    EXPECT_EQ(operator_.release_quarantine(), 0U);
    const boost::json::object status = operator_.status();
    const auto count = [&](const char* what) { return status.at("jobs").at(what).to_number<std::uint64_t>(); };
    std::uint64_t seen = count("accepted");
    for (const auto& pool : status.at("pools").as_array()) seen += pool.at("refused").to_number<std::uint64_t>();
    EXPECT_EQ(count("accepted"), count("succeeded") + count("failed"));
    // what a client cancelled before it was sent has no number; killed clients' requests are among the server's
    EXPECT_GE(seen, job_ids_.size());
    EXPECT_GT(job_ids_.size(), tally_.requests / 2);
    EXPECT_GE(count("succeeded"), tally_.succeeded);
    EXPECT_EQ(status.at("pid").to_number<pid_t>(), server_.pid());
    EXPECT_TRUE(eventually([&] { return server_.holdings() == before_; }))
        << "before: " << before_ << "\nnow:    " << server_.holdings();
    EXPECT_TRUE(eventually([&] { return server_.children().size() == children_before_; }))
        << children_before_ << " children before, " << server_.children().size() << " now";
    EXPECT_TRUE(eventually([&] { return server_.zombies() == 0; })) << server_.zombies();
  }

  std::mt19937_64 random_;
  Server server_;
  Crowd crowd_;
  ChaosAgent agent_;
  Operator operator_{server_};
  Holdings before_;
  std::size_t children_before_ = 0;
  Tally tally_;
  std::unordered_set<std::uint64_t> job_ids_;
};

void run_chaos(const char* variant, bool unique, std::string_view more) {
  const std::uint64_t seed = number_from("QUERN_SEED", std::random_device{}());
  fmt::print("chaos: {}, QUERN_SEED={}\n", variant, seed);
  const bool is_long = ::getenv("QUERN_LONG") != nullptr;
  const auto wave = is_long ? kLongWave : kShortWave;
  const auto end = Clock::now() + std::chrono::seconds(is_long ? number_from("QUERN_SECONDS", 300) : 0);
  Chaos chaos(unique, fmt::format("attempts = 5\nrun_timeout_ms = 700\ncancel_grace_ms = 100\n{}", more), seed);
  std::uint64_t memory_before = 0;
  for (int done = 0; done < kShortWaves || Clock::now() < end; ++done) {
    SCOPED_TRACE(fmt::format("wave {}", done));
    chaos.wave(wave);
    if (::testing::Test::HasFailure() || chaos.tally().harm() > 0) break;
    if (done == 0) memory_before = chaos.memory_kib();  // warmed up
  }
  const std::uint64_t memory = chaos.memory_kib();
  EXPECT_TRUE(kSanitized || memory <= memory_before + kMemoryGrowthKiBMax) << memory_before << " KiB, then " << memory;

  const Tally& tally = chaos.tally();
  const Blows& blows = chaos.blows();
  EXPECT_EQ(tally.harm(), 0U);
  EXPECT_GT(tally.succeeded, tally.failed) << "it was chaos, and not only destruction";
  fmt::print("chaos: {} jobs from {} clients, {} kills and {} stops survived, {} lost, {} double, {} wrong\n",
             tally.requests, chaos.clients(), blows.kills, blows.stops, tally.lost, tally.twice, tally.wrong);
  fmt::print(
      "chaos:   {} succeeded, {} failed as they may, {} refused and sent again; kills of templates {}, of clients {}; "
      "stops of clients {}; {} resizes, {} drained or paused, {} restarts; memory {} -> {} KiB\n",
      tally.succeeded, tally.failed, tally.refused, blows.template_kills, blows.client_kills, blows.client_stops,
      blows.resizes, blows.modes, blows.restarts, memory_before, memory);
}

TEST(Chaos, LosesNothingAndHealsWithoutQuarantine) { run_chaos("quarantine off", false, "quarantine_deaths = 0\n"); }

TEST(Chaos, LosesNothingAndPutsNobodyInQuarantineForTheHandsOfOthers) { run_chaos("unique contents", true, ""); }

TEST(StoppedWorker, IsKilledWhenItsJobsTimeIsUp) {
  const Server server(debug_pool("run_timeout_ms = 3000\n", kShortGraceMs));
  client::Client client = server.connect();
  auto answer = client.submit({.kind = "debug.sleep", .params_json = R"({"ms":20000})"});
  ASSERT_EQ(::kill(server.busy_worker(), SIGSTOP), 0);
  const auto result = answer.get();
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kTimeout);
  EXPECT_EQ(result.error().cause.kind, CauseKind::kRunTimeout);
  EXPECT_TRUE(eventually([&] { return server.deaths("run_timeout") == 1; }));
}

TEST(StoppedWorker, ThatIdlesCostsTheJobItIsGivenNoAttempt) {
  const Server server("[pools.debug]\nmodules = ['debug']\nworkers = 1\nrun_timeout_ms = 200\ncancel_grace_ms = 200\n");
  client::Client client = server.connect();
  const pid_t worker = server.only_worker();
  ASSERT_EQ(::kill(worker, SIGSTOP), 0);
  const auto result = client.run({.kind = "debug.echo", .parts = {client::Part::copy("patience")}});
  ASSERT_TRUE(result) << to_string(result.error());
  EXPECT_EQ(result->info.attempts, 1U) << "it had not begun where it waited";
  EXPECT_EQ(result->parts.at(0).text(), "patience");
}

// A worker that is stopped, or whose doorbell rings no more, does not pass over what was taken back from it.
TEST(StoppedWorker, ThatHoldsACancelledJobsPlaceHoldsUpNoOther) {
  const Server server("[pools.debug]\nmodules = ['debug']\nworkers = 1\ncancel_grace_ms = 200\n");
  client::Client client = server.connect();
  const auto cancel_one = [&](const char* kind) {
    ASSERT_EQ(::kill(server.only_worker(), SIGSTOP), 0);
    auto cancelled = client.submit({.kind = kind});
    EXPECT_TRUE(eventually([&] { return server.pool().at("running").to_number<int>() == 1; }));
    cancelled.cancel();
    EXPECT_EQ(cancelled.get().error().code, ErrorCode::kCancelled);
  };
  // nothing is known of how long jobs take: a worker is given one at a time
  cancel_one("debug.sleep");
  EXPECT_TRUE(client.run({.kind = "debug.noop", .timeout = 20s}));
  // they are short: the next is given to the same worker, behind the one that was taken back
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(client.run({.kind = "debug.noop"}));
  cancel_one("debug.noop");
  EXPECT_TRUE(client.run({.kind = "debug.noop", .timeout = 20s}));
  EXPECT_EQ(server.deaths("run_timeout"), 2U);
}

}  // namespace
}  // namespace quern::test

int main(int argc, char** argv) {
  if (const int ended = quern::test::run_as_chaos_client(argc, argv); ended >= 0) return ended;
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
