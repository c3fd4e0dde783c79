// Processes that a benchmark is compared with, and the line to them.
#pragma once

#include <sys/types.h>

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "common/unique_fd.h"

namespace quern::bench {

// A forked child at the other end of a Unix stream socket; killed and reaped at the end.
class PeerProcess {
 public:
  // The child runs `body` with its end, and exits.
  explicit PeerProcess(const std::function<void(int socket)>& body);
  // The child executes `command` with its end as standard input and output.
  explicit PeerProcess(const std::vector<std::string>& command);
  PeerProcess(const PeerProcess&) = delete;
  PeerProcess& operator=(const PeerProcess&) = delete;
  ~PeerProcess();

  [[nodiscard]] int socket() const noexcept { return socket_.get(); }
  // Sends a line and reads the number that answers it. Nothing when the child is gone.
  [[nodiscard]] std::optional<double> ask(const std::string& line) const;

 private:
  unique_fd socket_;
  pid_t pid_ = -1;
};

}  // namespace quern::bench
