// A job of the supervisor's own: a canary, or a replay from quarantine. It goes the way of every job, through
// its pool's queue and a worker; only the admission bounds don't hold for it.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <cstddef>
#include <vector>

#include "common/error.h"
#include "common/unique_fd.h"
#include "ipc/wire.h"
#include "supervisor/job.h"

namespace quern::supervisor {

struct OwnJob {
  const Kind* kind = nullptr;
  std::vector<std::byte> body{};  // a wire job body; empty: no parameters, no parts, unless there is a body_fd
  unique_fd body_fd{};            // one in a sealed memfd
  std::uint64_t body_fd_bytes = 0;
  std::vector<unique_fd> fds{};
  std::uint64_t payload_bytes = 0;
  wire::JobOptions options{};
};

// Waits for its answer. Ends in bounded time when the options hold a deadline. Must not be cancelled.
[[nodiscard]] boost::asio::awaitable<Result<wire::ResultInfo>> run_own_job(boost::asio::io_context& io, JobStore& store,
                                                                           OwnJob own);

}  // namespace quern::supervisor
