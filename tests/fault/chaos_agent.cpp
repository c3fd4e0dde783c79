#include "tests/fault/chaos_agent.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <limits>
#include <thread>

namespace quern::test {
namespace {

using wire::AdminOp;

constexpr std::chrono::milliseconds kPauseMax{25};  // between two blows
constexpr auto kRestartAnswerMax = 60s;

enum class Blow { kKill, kStop, kKillTemplate, kResize, kDrain, kPause, kRestart, kStopClient, kKillClient };
// How often each, of their sum, in the order of Blow.
constexpr int kWeights[] = {40, 25, 2, 6, 1, 2, 2, 6, 2};

pid_t spawn(const std::vector<std::string>& command) {
  std::vector<char*> argv;
  for (const std::string& word : command) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  pid_t pid = -1;
  const int failure = ::posix_spawn(&pid, argv[0], nullptr, nullptr, argv.data(), environ);
  EXPECT_EQ(failure, 0) << "can't start a client";
  return pid;
}

}  // namespace

// ---- The crowd -------------------------------------------------------------------------------------

Crowd::~Crowd() {
  for (const auto& [pid, member] : running_) {
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
  }
}

void Crowd::add(std::uint64_t seed, std::chrono::milliseconds time) {
  const std::string path = fmt::format("{}/ledger.{}", directory_, started_++);
  const pid_t pid = spawn(chaos_client_command(
      {.socket_path = socket_path_, .ledger_path = path, .seed = seed, .time = time, .unique = unique_}));
  if (pid > 0) running_.emplace(pid, Member{.ledger_path = path});
}

void Crowd::kill(pid_t pid) {
  ::kill(pid, SIGKILL);
  running_.at(pid).killed = true;
}

void Crowd::stop(pid_t pid) { ::kill(pid, SIGSTOP); }

void Crowd::resume_all() {
  for (const auto& [pid, member] : running_) ::kill(pid, SIGCONT);
}

void Crowd::reap() {
  std::erase_if(running_, [this](const auto& each) {
    int status = 0;
    if (::waitpid(each.first, &status, WNOHANG) != each.first) return false;
    bury(each.second, status);
    return true;
  });
}

void Crowd::bury(const Member& member, int status) {
  if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL && member.killed) return;
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "a client ended with wait status " << status;
  ledgers_.push_back(read_ledger(member.ledger_path));
  EXPECT_TRUE(ledgers_.back().complete) << member.ledger_path;
  ::unlink(member.ledger_path.c_str());
}

// ---- Blows -----------------------------------------------------------------------------------------

ChaosAgent::ChaosAgent(const Server& server, Crowd& crowd, std::vector<PoolSize> pools, std::uint64_t seed)
    : server_(server), crowd_(crowd), operator_(server), pools_(std::move(pools)), random_(seed) {
  (void)operator_.status();  // connected from now on
}

void ChaosAgent::rage(std::chrono::milliseconds time) {
  const auto end = Clock::now() + time;
  while (Clock::now() < end) {
    strike(end);
    std::this_thread::sleep_for(kPauseMax * (random_() % 1'000) / 1'000);
    end_pauses(Clock::now());
  }
}

void ChaosAgent::strike(Clock::time_point end) {
  crowd_.reap();
  std::discrete_distribution<int> mix(std::begin(kWeights), std::end(kWeights));
  switch (static_cast<Blow>(mix(random_))) {
    case Blow::kKill:
      if (::kill(any_worker(), SIGKILL) == 0) ++blows_.kills;
      break;
    case Blow::kStop: {
      const pid_t victim = any_worker();
      if (::kill(victim, SIGSTOP) != 0) break;
      // longer than its job may run, or a hiccup
      stopped_[victim] = random_() % 4 == 0 ? Clock::time_point::max() : soon(300ms);
      ++blows_.stops;
      break;
    }
    case Blow::kKillTemplate: kill_template(); break;
    case Blow::kResize: {
      const PoolSize& pool = any_pool();
      operate(AdminOp::kResize, pool.name, 1 + random_() % (2 * pool.workers));
      ++blows_.resizes;
      break;
    }
    case Blow::kDrain: halt(AdminOp::kDrain); break;
    case Blow::kPause: halt(AdminOp::kPause); break;
    case Blow::kRestart:
      restarts_.push_back(std::async(std::launch::async, [&server = server_, name = any_pool().name] {
        return server.operate(AdminOp::kRestart, name);
      }));
      ++blows_.restarts;
      break;
    case Blow::kStopClient:
      if (crowd_.running() == 0) break;
      crowd_.stop(crowd_.any(random_()));
      clients_stopped_until_ = std::min(clients_stopped_until_, soon(300ms));
      ++blows_.stops;
      ++blows_.client_stops;
      break;
    case Blow::kKillClient:
      if (crowd_.running() == 0 || end - Clock::now() < 500ms) break;
      crowd_.kill(crowd_.any(random_()));
      crowd_.add(random_(), std::chrono::duration_cast<std::chrono::milliseconds>(end - Clock::now()));
      ++blows_.kills;
      ++blows_.client_kills;
      break;
  }
}

void ChaosAgent::halt(AdminOp how) {
  const PoolSize& pool = any_pool();
  operate(how, pool.name);
  not_running_[pool.name] = soon(200ms);
  ++blows_.modes;
}

// Whatever is no worker: a template, or a worker that is being born.
void ChaosAgent::kill_template() {
  auto others = server_.children();
  const auto known = workers();
  std::erase_if(others, [&](pid_t pid) { return std::ranges::find(known, pid) != known.end(); });
  if (others.empty() || ::kill(others[random_() % others.size()], SIGKILL) != 0) return;
  ++blows_.kills;
  ++blows_.template_kills;
}

std::vector<pid_t> ChaosAgent::workers() {
  std::vector<pid_t> found;
  const boost::json::object status = operator_.status();
  for (const auto& pool : status.at("pools").as_array()) {
    for (const auto& worker : pool.at("workers").as_array()) {
      const auto pid = worker.at("pid").to_number<pid_t>();
      if (pid > 0) found.push_back(pid);
    }
  }
  return found;
}

// No process has the pid that stands for none.
pid_t ChaosAgent::any_worker() {
  const auto found = workers();
  return found.empty() ? std::numeric_limits<pid_t>::max() : found[random_() % found.size()];
}

void ChaosAgent::operate(AdminOp op, const std::string& pool, std::uint64_t value) {
  const auto done = server_.operate(op, pool, value);
  EXPECT_TRUE(done) << to_string(done.error());
}

Clock::time_point ChaosAgent::soon(std::chrono::milliseconds most) {
  return Clock::now() + most * (random_() % 1'000) / 1'000;
}

// ---- Healing ---------------------------------------------------------------------------------------

void ChaosAgent::end_pauses(Clock::time_point now) {
  const auto due = [now](const auto& each) { return each.second <= now; };
  if (std::ranges::any_of(stopped_, due)) {
    const auto children = server_.children();  // a pid may be another's by now
    std::erase_if(stopped_, [&](const auto& each) {
      if (!due(each)) return false;
      if (std::ranges::find(children, each.first) != children.end()) ::kill(each.first, SIGCONT);
      return true;
    });
  }
  std::erase_if(not_running_, [&](const auto& each) {
    if (!due(each)) return false;
    operate(AdminOp::kResume, each.first);
    return true;
  });
  if (clients_stopped_until_ <= now) {
    crowd_.resume_all();
    clients_stopped_until_ = Clock::time_point::max();
  }
}

void ChaosAgent::heal() {
  end_pauses(Clock::time_point::max());
  crowd_.resume_all();
  for (const PoolSize& pool : pools_) operate(AdminOp::kResize, pool.name, pool.workers);
  await_restarts();
}

// Each has an answer in the end; not all can succeed, when their templates are killed.
void ChaosAgent::await_restarts() {
  for (auto& restart : restarts_) {
    ASSERT_EQ(restart.wait_for(kRestartAnswerMax), std::future_status::ready) << "a rolling restart has no answer";
    const auto answer = restart.get();
    EXPECT_TRUE(answer || answer.error().code == ErrorCode::kBusy || answer.error().code == ErrorCode::kUnavailable)
        << to_string(answer.error());
  }
  restarts_.clear();
}

}  // namespace quern::test
