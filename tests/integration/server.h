// A real quernd for a test: its own runtime directory and configuration, started and waited for,
// stopped and looked after. Every wait is on a condition with a bound.
//
// At its end each one is looked at for leaks (leak_check.h), and must stop with exit code 0 and leave no
// process. So a test's clients are declared after its Server.
#pragma once

#include <sys/types.h>

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <chrono>
#include <functional>
#include <iosfwd>
#include <memory>
#include <string>
#include <vector>

#include "client/client.h"
#include "common/unique_fd.h"

namespace quern::test {

using namespace std::chrono_literals;

// Polls `condition` until it is true; false when `limit` passes first. The limit is what nothing takes that works,
// on a machine however slow.
bool eventually(const std::function<bool()>& condition, std::chrono::milliseconds limit = 30s);

// What a quernd holds of the kernel's: a leak of a worker's channel, socket or eventfd shows here.
struct Holdings {
  std::size_t fds = 0;
  std::size_t memfds = 0;          // of those descriptors
  std::size_t memfd_mappings = 0;  // a channel without its descriptor
  friend bool operator==(const Holdings&, const Holdings&) = default;
};
std::ostream& operator<<(std::ostream& out, const Holdings& holdings);

class LeakCheck;

class Server {
 public:
  // `config`: TOML; "" for two workers of module debug. Starts and waits until it serves.
  explicit Server(std::string config = "");
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  [[nodiscard]] client::Client connect() const;
  [[nodiscard]] boost::json::object status() const;
  // The status of a pool; the first one without a name.
  [[nodiscard]] boost::json::object pool(std::string_view name = {}) const;
  [[nodiscard]] Result<std::string> operate(wire::AdminOp op, std::string_view pool, std::uint64_t value = 0) const;
  // The pid of a worker that has begun a job, waited for. One that was only given it would be spared: the job is taken
  // back from it. Throws when none begins: kill(-1) would end every process there is.
  [[nodiscard]] pid_t busy_worker() const;
  // The pid of the worker of a server that has one. Throws when there is none.
  [[nodiscard]] pid_t only_worker() const;
  // Whether it has asked a job to stop that has not ended yet.
  [[nodiscard]] bool is_stopping_a_job() const;
  [[nodiscard]] std::uint64_t deaths(std::string_view cause) const;

  // Throws when it does not run.
  void signal(int number) const;
  // Waits for the end; the exit code, or 128 + signal.
  int wait();
  // Once more, after wait().
  void start();
  // For a test that leaves behind what would be a leak elsewhere.
  void skip_leak_check(std::string_view why);

  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] const std::string& directory() const { return directory_; }
  [[nodiscard]] std::string socket_path() const { return directory_ + "/quern.sock"; }
  [[nodiscard]] std::string log() const;
  [[nodiscard]] std::size_t open_fds() const;
  [[nodiscard]] Holdings holdings() const;
  // Every descendant: template and workers.
  [[nodiscard]] std::vector<pid_t> children() const;
  // Children that are dead and not yet reaped.
  [[nodiscard]] std::size_t zombies() const;
  // The child that is no worker, of a server with one pool; -1 while there is none.
  [[nodiscard]] pid_t template_pid() const;

 private:
  void for_each_child(const std::function<void(pid_t pid, char state)>& visit) const;

  std::string directory_;
  std::string config_path_;
  pid_t pid_ = -1;
  std::unique_ptr<LeakCheck> leak_check_;
};

// An operator's connection that stays: asking through it leaves the server's descriptors as they are.
class Operator {
 public:
  explicit Operator(const Server& server)
      : client_({.socket_path = server.directory() + "/admin.sock", .name = "test"}) {}
  [[nodiscard]] boost::json::object status();
  // As Server::pool.
  [[nodiscard]] boost::json::object pool(std::string_view name = {});
  [[nodiscard]] Result<std::string> ask(wire::AdminOp op, std::string_view pool = {}, std::uint64_t value = 0) {
    return client_.admin(op, pool, value);
  }
  // Whether nothing is queued or running, each pool has its number of workers, idle ones, and nobody but
  // `clients` is connected, this operator included.
  [[nodiscard]] bool at_rest(std::size_t clients = 1);
  // Whether the server holds nothing for any client, by its own account.
  [[nodiscard]] bool accounts_are_empty();
  // Forgets what is in quarantine, suspects too, and returns how many were more than suspect.
  std::size_t release_quarantine();

 private:
  client::Client client_;
};

// For a test that waits for a kill at the end of the grace period; for the others, it is long enough for a job to see
// that it should stop, however seldom its worker has a turn.
inline constexpr int kShortGraceMs = 200;

[[nodiscard]] inline std::string debug_pool(std::string_view more = "", int cancel_grace_ms = 5000) {
  return "[pools.debug]\nmodules = ['debug']\nworkers = 2\ncancel_grace_ms = " + std::to_string(cancel_grace_ms) +
         "\n" + std::string(more);
}

struct Ended {
  int exit_code = 0;
  std::string out;
  std::string err;
};
// Runs a command to its end with `input` on its standard input.
Ended run(const std::vector<std::string>& command, std::string_view input = "");

// `quern` with this server's directory.
Ended quern(const Server& server, std::vector<std::string> arguments, std::string_view input = "");

}  // namespace quern::test
