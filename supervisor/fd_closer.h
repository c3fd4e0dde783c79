// FdCloser: closes the descriptors of large memfds on a thread of its own.
//
// The last close of a memfd frees its pages one by one: 130 to 190 ms a GiB, measured, in which the loop
// would serve nobody. Their seals forbid to shrink them little by little instead. So this is the one thing in
// the supervisor that happens on another thread; it is given descriptors that nobody knows any more and
// shares nothing else, so every structure of the supervisor stays plain.
//
// close() is the loop's; it never waits for a page to be freed. The destructor waits for all of them.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

#include "common/unique_fd.h"

namespace quern::supervisor {

class FdCloser {
 public:
  // Below this, telling the thread costs about as much as closing.
  static constexpr std::uint64_t kBytesMin = 256U << 10;

  FdCloser();
  FdCloser(const FdCloser&) = delete;
  FdCloser& operator=(const FdCloser&) = delete;
  ~FdCloser();

  void close(unique_fd fd);
  void close(std::vector<unique_fd>& fds);  // empties it

 private:
  void run();

  std::mutex mutex_;
  std::condition_variable work_;
  std::vector<unique_fd> waiting_;  // guarded by mutex_
  bool ends_ = false;               // guarded by mutex_
  std::thread thread_;              // last: it uses the others
};

}  // namespace quern::supervisor
