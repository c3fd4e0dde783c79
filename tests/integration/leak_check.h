// LeakCheck: a quernd that a test has used must hold what it held right after its start, once the test's
// clients are gone and its pools have the size they had. Every Server of every test is checked so.
//
// "At rest" is: nobody connected but us, nothing queued or running, and each pool's workers there and
// idle. Contents in quarantine are held on purpose, with their descriptors, and are released first.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "tests/integration/server.h"

namespace quern::test {

class LeakCheck {
 public:
  // Waits for the server to be at rest after its start.
  explicit LeakCheck(const Server& server);
  // Fails the test when the server does not come to rest, or holds something else then.
  void expect_back_at_rest(const Server& server) const;

 private:
  Holdings holdings_;
  std::map<std::string, std::uint64_t> workers_;  // by pool
  std::size_t children_ = 0;
};

// Every process below `root`, whatever its parent in between; zombies too.
[[nodiscard]] std::vector<pid_t> descendants(pid_t root);
// Whether it exists and is more than a zombie that its parent has not looked at.
[[nodiscard]] bool is_alive(pid_t pid);

}  // namespace quern::test
