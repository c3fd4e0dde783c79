// The agent of the chaos test: blow after blow, at random, against the workers and templates of a server,
// its pools' sizes and modes, and its clients. heal() undoes what does not heal by itself.
//
// It signals only processes that are the server's children, or the crowd's, at that moment. One thread.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <future>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "tests/fault/chaos_client.h"
#include "tests/integration/server.h"

namespace quern::test {

using Clock = std::chrono::steady_clock;

// The client processes. Those that are killed leave no ledger.
class Crowd {
 public:
  Crowd(std::string directory, std::string socket_path, bool unique)
      : directory_(std::move(directory)), socket_path_(std::move(socket_path)), unique_(unique) {}
  Crowd(const Crowd&) = delete;
  Crowd& operator=(const Crowd&) = delete;
  ~Crowd();  // kills and reaps what is left

  void add(std::uint64_t seed, std::chrono::milliseconds time);
  [[nodiscard]] std::size_t running() const { return running_.size(); }
  [[nodiscard]] std::size_t started() const { return started_; }
  [[nodiscard]] pid_t any(std::uint64_t random) const {
    return std::next(running_.begin(), static_cast<std::ptrdiff_t>(random % running()))->first;
  }
  void kill(pid_t pid);
  void stop(pid_t pid);
  void resume_all();
  void reap();  // those that have ended
  // Of those that got to their end, and were reaped since the last call.
  [[nodiscard]] std::vector<Ledger> take_ledgers() { return std::exchange(ledgers_, {}); }

 private:
  struct Member {
    std::string ledger_path;
    bool killed = false;
  };
  void bury(const Member& member, int status);

  std::string directory_;
  std::string socket_path_;
  bool unique_;
  std::size_t started_ = 0;
  std::map<pid_t, Member> running_;
  std::vector<Ledger> ledgers_;
};

struct Blows {
  std::uint64_t kills = 0;  // of workers, templates and clients
  std::uint64_t template_kills = 0;
  std::uint64_t client_kills = 0;
  std::uint64_t stops = 0;  // of workers and clients
  std::uint64_t client_stops = 0;
  std::uint64_t resizes = 0;
  std::uint64_t modes = 0;  // drained or paused, and resumed
  std::uint64_t restarts = 0;
};

class ChaosAgent {
 public:
  struct PoolSize {
    std::string name;
    std::uint32_t workers = 0;
  };
  ChaosAgent(const Server& server, Crowd& crowd, std::vector<PoolSize> pools, std::uint64_t seed);

  // Blows, with random pauses between them, for `time`.
  void rage(std::chrono::milliseconds time);
  // Everything runs, in the size it had. A rolling restart that was asked for has its answer.
  void heal();
  [[nodiscard]] const Blows& blows() const { return blows_; }

 private:
  void strike(Clock::time_point end);
  void kill_template();
  void halt(wire::AdminOp how);
  void end_pauses(Clock::time_point now);
  void await_restarts();
  [[nodiscard]] std::vector<pid_t> workers();
  [[nodiscard]] pid_t any_worker();
  [[nodiscard]] const PoolSize& any_pool() { return pools_[random_() % pools_.size()]; }
  void operate(wire::AdminOp op, const std::string& pool, std::uint64_t value = 0);
  [[nodiscard]] Clock::time_point soon(std::chrono::milliseconds most);

  const Server& server_;
  Crowd& crowd_;
  Operator operator_;
  std::vector<PoolSize> pools_;
  std::mt19937_64 random_;
  std::map<pid_t, Clock::time_point> stopped_;            // workers, and when they go on
  std::map<std::string, Clock::time_point> not_running_;  // pools, and when they are resumed
  Clock::time_point clients_stopped_until_ = Clock::time_point::max();
  std::vector<std::future<Result<std::string>>> restarts_;
  Blows blows_;
};

}  // namespace quern::test
