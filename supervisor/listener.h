// The runtime directory: the lock that makes a supervisor the only one in it, and its two sockets.
//
// RuntimeDirectory takes an flock(2) on quern.lock for its lifetime. Whoever holds it may remove what
// a dead predecessor left: the kernel drops the lock with the process, however it died, so a stale
// socket never blocks a start, and a live server's sockets are never taken away.
#pragma once

#include <sys/types.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <cstdint>
#include <string>

#include "common/error.h"
#include "common/unique_fd.h"

namespace quern::supervisor {

class RuntimeDirectory {
 public:
  // Creates the directory when it is missing (mode 0755), and locks it. kUnavailable when another
  // quernd has it.
  [[nodiscard]] static Result<RuntimeDirectory> acquire(const std::string& path);

  [[nodiscard]] const std::string& path() const noexcept { return path_; }

 private:
  RuntimeDirectory(std::string path, unique_fd lock) : path_(std::move(path)), lock_(std::move(lock)) {}
  std::string path_;
  unique_fd lock_;
};

struct ListenOptions {
  std::string path;
  std::uint32_t mode = 0660;
  std::string group{};  // empty: leave it
};

// A listening socket that never shows itself with wider permissions than asked for. Requires the
// directory's lock. The caller unlinks the path when done.
[[nodiscard]] Result<boost::asio::local::stream_protocol::acceptor> listen_on(boost::asio::io_context& io,
                                                                              const ListenOptions& options);

}  // namespace quern::supervisor
