// The floor of a job's round trip: the four wake-ups it needs, and nothing else.
//
//     client --socket--> relay --futex--> worker --eventfd--> relay --socket--> client
//
// Three processes, one byte a message, the relay in epoll_wait as the supervisor is. What Quern adds
// to this is its own doing.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>

#include "common/unique_fd.h"

namespace quern::bench {

class Floor {
 public:
  Floor();
  ~Floor();
  Floor(const Floor&) = delete;
  Floor& operator=(const Floor&) = delete;
  void round_trip();

 private:
  unique_fd socket_;
  pid_t relay_ = -1;
  pid_t worker_ = -1;
  std::atomic<std::uint32_t>* word_ = nullptr;  // shared by relay and worker
};

}  // namespace quern::bench
