// Server: quernd's life. It owns the sockets, the pools and the sessions, and introduces them to each
// other; what each of them does is its own business.
//
//     run(): load every pool -> listen -> READY -> wait for a signal -> STOPPING: no new clients or
//     jobs, running jobs finish within shutdown_grace_ms, the rest are answered shutting_down -> exit
//
// A second signal ends the grace period. One thread: everything runs on one io_context.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "common/error.h"
#include "supervisor/byte_budget.h"
#include "supervisor/cgroup.h"
#include "supervisor/client_account.h"
#include "supervisor/config.h"
#include "supervisor/job.h"
#include "supervisor/listener.h"
#include "supervisor/operations.h"
#include "supervisor/pool.h"
#include "supervisor/process.h"
#include "supervisor/quarantine.h"
#include "supervisor/session.h"

namespace quern::supervisor {

class Server final : private SessionHost {
 public:
  using Acceptor = boost::asio::local::stream_protocol::acceptor;

  // `children` outlives `io`.
  Server(boost::asio::io_context& io, ChildRegistry& children, Config config);
  ~Server();

  // From start to end; an Error is why it could not start.
  [[nodiscard]] boost::asio::awaitable<Result<void>> run();

 private:
  // SessionHost
  [[nodiscard]] const Kind* find_kind(std::string_view name) const noexcept override;
  [[nodiscard]] JobStore& jobs() noexcept override { return store_; }
  [[nodiscard]] FdCloser& closer() noexcept override { return closer_; }
  [[nodiscard]] Quarantine& quarantine() noexcept override { return quarantine_; }
  [[nodiscard]] SharedBuffers& shared_buffers() noexcept override { return shared_buffers_; }
  [[nodiscard]] ReceiveBudget& receive_budget() noexcept override { return receive_budget_; }
  [[nodiscard]] ByteBudget& answers_budget() noexcept override { return answers_budget_; }
  [[nodiscard]] std::string kinds_document() const override;
  [[nodiscard]] boost::asio::awaitable<Result<std::string>> operate(wire::AdminOp op, std::string pool,
                                                                    std::uint64_t value) override;

  [[nodiscard]] boost::asio::awaitable<Result<void>> start_pools();
  [[nodiscard]] Result<void> register_kinds(const Pool& pool);
  [[nodiscard]] Result<void> open_sockets();
  [[nodiscard]] boost::asio::awaitable<void> accept(Acceptor& acceptor, SessionRole role);
  [[nodiscard]] boost::asio::awaitable<void> keep_session(Session::Socket socket, SessionRole role);
  [[nodiscard]] std::optional<Error> no_room_for(const Peer& peer) const;
  [[nodiscard]] std::string status() const;
  [[nodiscard]] boost::asio::awaitable<void> shut_down();
  [[nodiscard]] boost::asio::awaitable<void> all_stopped();
  void close_sockets();
  [[nodiscard]] std::string socket_path(std::string_view name) const;

  boost::asio::io_context& io_;
  Config config_;
  std::int64_t started_ns_;
  ChildRegistry& children_;
  FdCloser closer_;
  ClientAccounts accounts_;
  SharedBuffers shared_buffers_;
  JobStore store_{closer_};
  Quarantine quarantine_;
  std::unique_ptr<Cgroups> cgroups_;  // null where none are delegated
  ReceiveBudget receive_budget_;
  ByteBudget answers_budget_;
  std::vector<std::unique_ptr<Pool>> pools_;
  struct TextHash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const noexcept { return std::hash<std::string_view>()(text); }
  };
  std::unordered_map<std::string, const Kind*, TextHash, std::equal_to<>> kinds_;
  std::optional<RuntimeDirectory> directory_;
  std::optional<Acceptor> clients_acceptor_;
  std::optional<Acceptor> operators_acceptor_;
  std::list<Session> sessions_;
  std::unordered_map<uid_t, std::uint32_t> clients_of_uid_;
  std::uint64_t next_client_id_ = kOwnClientId + 1;
  Operations operations_;
  AsyncEvent session_ended_;
  boost::asio::signal_set signals_;
  bool stopping_ = false;
};

}  // namespace quern::supervisor
