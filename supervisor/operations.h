// Operations: what operators can ask for on admin.sock, carried out. Each answer is a JSON document;
// docs/protocol.md lists the requests, docs/operations.md what they are for.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/error.h"
#include "ipc/wire.h"
#include "supervisor/pool.h"
#include "supervisor/quarantine.h"

namespace quern::supervisor {

class Operations {
 public:
  // Everything outlives it. `status` makes the status document.
  Operations(boost::asio::io_context& io, const std::vector<std::unique_ptr<Pool>>& pools, JobStore& store,
             Quarantine& quarantine, const SharedBuffers& buffers, std::function<std::string()> status)
      : io_(io), pools_(pools), store_(store), quarantine_(quarantine), buffers_(buffers), status_(std::move(status)) {}

  [[nodiscard]] boost::asio::awaitable<Result<std::string>> carry_out(wire::AdminOp op, std::string pool,
                                                                      std::uint64_t value);

 private:
  [[nodiscard]] Result<Pool*> find_pool(std::string_view name) const;
  [[nodiscard]] boost::asio::awaitable<Result<std::string>> change_pool(wire::AdminOp op, std::string pool,
                                                                        std::uint64_t value);
  [[nodiscard]] Result<std::string> cancel(std::uint64_t job_id);
  [[nodiscard]] boost::asio::awaitable<Result<std::string>> health(std::string pool);
  [[nodiscard]] Result<std::string> show(std::uint64_t id);
  [[nodiscard]] Result<std::string> release(std::uint64_t id);
  [[nodiscard]] boost::asio::awaitable<Result<std::string>> replay(std::uint64_t id);

  boost::asio::io_context& io_;
  const std::vector<std::unique_ptr<Pool>>& pools_;
  JobStore& store_;
  Quarantine& quarantine_;
  const SharedBuffers& buffers_;
  std::function<std::string()> status_;
};

}  // namespace quern::supervisor
