#include "supervisor/server.h"

#include <fmt/format.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <utility>

#include "common/clock.h"
#include "common/log.h"
#include "common/paths.h"
#include "supervisor/memory_ceiling.h"
#include "supervisor/status.h"

namespace quern::supervisor {

namespace asio = boost::asio;
using namespace std::chrono_literals;

namespace {

// How long an acceptor rests when the process is out of descriptors.
constexpr auto kAcceptPause = 100ms;
// After the jobs are answered: how long the last sessions have to take their answers.
constexpr auto kSessionsGrace = 3s;

// How many descriptors of files a user may have sent whose file system does not let go of them.
constexpr std::size_t kHangingFdsMax = 256;

// How many connections above the limit are told so; more are closed without a word.
constexpr std::size_t kRefusedAtOnceMax = 64;

constexpr ipc::Geometry kGeometry{.slots = 32, .input_extent_bytes = 32U << 10, .output_extent_bytes = 32U << 10};

// Of this process (main.cpp has raised it as far as it goes).
std::uint64_t descriptors_max() {
  rlimit limit{};
  return ::getrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_cur : 1024;
}

// What is needed for sockets, workers, quarantine, and an answer's descriptors on their way through.
std::uint64_t own_descriptors(const Config& config) {
  constexpr std::uint64_t kBase = 512;
  constexpr std::uint64_t kWorker = 8;  // twice over in a rolling restart
  std::uint64_t own = kBase + config.limits.clients_max + kRefusedAtOnceMax + Quarantine::kDescriptorsMax;
  for (const PoolConfig& pool : config.pools) own += kWorker * 2 * pool.workers;
  return own;
}

Result<Peer> peer_of(const Session::Socket& socket, SessionRole role) {
  ucred credentials{};
  socklen_t bytes = sizeof credentials;
  // native_handle() is not const, though it changes nothing
  const int fd = const_cast<Session::Socket&>(socket).native_handle();
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &bytes) != 0) {
    return system_error("getsockopt(SO_PEERCRED)", "client", errno);
  }
  return Peer{.pid = credentials.pid, .uid = credentials.uid, .role = role};
}

FleetOptions fleet_options(const Config& config, const PoolConfig& pool, Cgroups* cgroups, FdCloser& closer) {
  std::vector<std::string> paths;
  for (const std::string& module : pool.modules) {
    // a name is one of ours; anything with a slash is a path to a user's own
    paths.push_back(module.find('/') == std::string::npos ? fmt::format("{}/{}.so", config.module_dir, module)
                                                          : module);
  }
  return {.template_options = {.pool = pool.name,
                               .worker_path = config.worker_path,
                               .module_paths = std::move(paths),
                               .memory_bytes_max = pool.memory_bytes_max,
                               .processes = pool.processes},
          .geometry = kGeometry,
          .workers = pool.workers,
          .memory_budget_bytes = pool.memory_budget_bytes,
          .worker_jobs_max = pool.worker_jobs_max,
          .worker_rss_bytes_max = pool.worker_rss_bytes_max,
          .cgroups = cgroups,
          .closer = &closer};
}

}  // namespace

Server::Server(asio::io_context& io, ChildRegistry& children, Config config)
    : io_(io),
      config_(std::move(config)),
      started_ns_(now_ns()),
      children_(children),
      accounts_(account_limits(config_.limits, descriptors_max(), own_descriptors(config_)), closer_),
      shared_buffers_(closer_, config_.limits.shared_bytes_max, config_.limits.shared_bytes_per_uid_max),
      quarantine_(io, closer_, config_.limits.quarantine_bytes_max),
      receive_budget_(io, config_.limits.receive_bytes_max),
      answers_budget_(config_.limits.answers_bytes_max),
      operations_(io, pools_, store_, quarantine_, shared_buffers_, [this] { return status(); }),
      session_ended_(io),
      signals_(io, SIGTERM, SIGINT) {}

Server::~Server() = default;

asio::awaitable<Result<void>> Server::run() {
  auto directory = RuntimeDirectory::acquire(config_.runtime_dir);
  if (!directory) co_return directory.error();
  directory_ = std::move(*directory);
  if (auto cgroups = Cgroups::take(); cgroups) {
    cgroups_ = std::move(*cgroups);
  } else {
    log_event(LogLevel::kDebug, "no_cgroups", {{"reason", to_string(cgroups.error())}});
  }
  if (auto started = co_await start_pools(); !started) co_return started.error();
  if (auto opened = open_sockets(); !opened) co_return opened.error();
  asio::co_spawn(io_, accept(*clients_acceptor_, SessionRole::kClient), asio::detached);
  asio::co_spawn(io_, accept(*operators_acceptor_, SessionRole::kOperator), asio::detached);
  log_event(LogLevel::kInfo, "ready",
            {{"version", QUERN_VERSION},
             {"pid", ::getpid()},
             {"runtime_dir", config_.runtime_dir},
             {"pools", pools_.size()},
             {"kinds", kinds_.size()},
             {"start_ms", (now_ns() - started_ns_) / 1'000'000}});
  ::sd_notifyf(0, "READY=1\nSTATUS=%zu pools, %zu kinds of jobs\nMAINPID=%ld", pools_.size(), kinds_.size(),
               static_cast<long>(::getpid()));
  const int signal = co_await signals_.async_wait(asio::use_awaitable);
  log_event(LogLevel::kInfo, "stopping", {{"signal", signal}});
  co_await shut_down();
  co_return Result<void>();
}

asio::awaitable<Result<void>> Server::start_pools() {
  for (const PoolConfig& pool_config : config_.pools) {
    Pool& pool =
        *pools_.emplace_back(std::make_unique<Pool>(io_, children_, store_, quarantine_, pool_config,
                                                    fleet_options(config_, pool_config, cgroups_.get(), closer_)));
    auto started = co_await pool.start();
    if (started) started = register_kinds(pool);
    if (!started) {
      Error error = started.error();
      error.message = fmt::format("pool {}: {}", pool_config.name, error.message);
      co_return error;
    }
  }
  co_return Result<void>();
}

Result<void> Server::register_kinds(const Pool& pool) {
  for (const auto& kind : pool.kinds()) {
    const auto [at, fresh] = kinds_.emplace(kind->name, kind.get());
    if (!fresh) {
      return Error{.code = ErrorCode::kInvalidArgument,
                   .message = fmt::format("kind {} is served by pool {} already; a kind belongs to one pool",
                                          kind->name, at->second->pool->config().name),
                   .field = fmt::format("pools.{}.modules", pool.config().name)};
    }
  }
  return {};
}

// ---- Sockets and sessions --------------------------------------------------------------------------

std::string Server::socket_path(std::string_view socket) const {
  return fmt::format("{}/{}", config_.runtime_dir, socket);
}

Result<void> Server::open_sockets() {
  auto clients = listen_on(
      io_, {.path = socket_path(kClientSocketName), .mode = config_.socket_mode, .group = config_.socket_group});
  if (!clients) return clients.error();
  clients_acceptor_.emplace(std::move(*clients));
  auto operators = listen_on(io_, {.path = socket_path(kAdminSocketName), .mode = 0600});
  if (!operators) return operators.error();
  operators_acceptor_.emplace(std::move(*operators));
  return {};
}

void Server::close_sockets() {
  clients_acceptor_->close();
  operators_acceptor_->close();
  ::unlink(socket_path(kClientSocketName).c_str());
  ::unlink(socket_path(kAdminSocketName).c_str());
}

asio::awaitable<void> Server::accept(Acceptor& acceptor, SessionRole role) {
  for (;;) {
    boost::system::error_code failure;
    Session::Socket socket = co_await acceptor.async_accept(asio::redirect_error(asio::use_awaitable, failure));
    if (failure == asio::error::operation_aborted || stopping_) co_return;
    if (failure) {  // EMFILE and the like: the connection stays in the backlog
      log_event(LogLevel::kWarn, "accept_failed", {{"reason", failure.message()}});
      asio::steady_timer pause(io_, kAcceptPause);
      co_await pause.async_wait(asio::use_awaitable);
      continue;
    }
    asio::co_spawn(io_, keep_session(std::move(socket), role), asio::detached);
  }
}

std::optional<Error> Server::no_room_for(const Peer& peer) const {
  if (peer.role == SessionRole::kOperator) return std::nullopt;
  const auto busy = [](std::string message) {
    return Error{.code = ErrorCode::kBusy, .message = std::move(message), .retry_after_ms = 1000};
  };
  const LimitsConfig& limits = config_.limits;
  if (sessions_.size() >= limits.clients_max) {
    return busy(fmt::format("the server has {} clients, its limit (limits.clients_max)", limits.clients_max));
  }
  const auto of_uid = clients_of_uid_.find(peer.uid);
  if (of_uid != clients_of_uid_.end() && of_uid->second >= limits.clients_per_uid_max) {
    return busy(fmt::format("user {} has {} connections, its limit (limits.clients_per_uid_max)", peer.uid,
                            limits.clients_per_uid_max));
  }
  if (const std::size_t hanging = closer_.hanging(peer.uid); hanging >= kHangingFdsMax) {
    return busy(fmt::format("{} descriptors of user {} hang in being closed; their file system does not answer",
                            hanging, peer.uid));
  }
  return std::nullopt;
}

asio::awaitable<void> Server::keep_session(Session::Socket socket, SessionRole role) {
  auto peer = peer_of(socket, role);
  if (!peer || sessions_.size() >= config_.limits.clients_max + kRefusedAtOnceMax) co_return;
  peer->id = next_client_id_++;
  const auto refusal = no_room_for(*peer);
  SessionHost& host = *this;
  const auto at = sessions_.emplace(sessions_.end(), io_, std::move(socket), host, config_.limits, *peer,
                                    accounts_.open(peer->uid));
  if (refusal) at->refuse(*refusal);
  ++clients_of_uid_[peer->uid];
  co_await at->run();
  if (--clients_of_uid_[peer->uid] == 0) clients_of_uid_.erase(peer->uid);
  sessions_.erase(at);
  session_ended_.notify_all();
}

// ---- Requests --------------------------------------------------------------------------------------

const Kind* Server::find_kind(std::string_view name) const noexcept {
  const auto at = kinds_.find(name);
  return at == kinds_.end() ? nullptr : at->second;
}

// Each description is an object of its own; the pool's name goes in front of its first member.
std::string Server::kinds_document() const {
  std::string document = "{\"kinds\":[";
  for (const auto& pool : pools_) {
    for (const auto& kind : pool->kinds()) {
      if (kind->canary) continue;  // nobody's business but health checks'
      if (document.back() == '}') document += ',';
      document +=
          fmt::format("{{\"pool\":\"{}\",{}", pool->config().name, std::string_view(kind->description_json).substr(1));
    }
  }
  return document + "]}";
}

asio::awaitable<Result<std::string>> Server::operate(wire::AdminOp op, std::string pool, std::uint64_t value) {
  return operations_.carry_out(op, std::move(pool), value);
}

std::string Server::status() const {
  std::vector<ClientFacts> clients;
  for (const Session& session : sessions_) {
    clients.push_back({.id = session.peer().id,
                       .pid = session.peer().pid,
                       .uid = session.peer().uid,
                       .name = session.client_name(),
                       .is_operator = session.peer().role == SessionRole::kOperator,
                       .jobs = session.jobs_in_flight(),
                       .buffers = session.buffers(),
                       .held = session.held(),
                       .connected_ns = session.connected_ns()});
  }
  std::vector<UserFacts> users;
  accounts_.for_each_user([&](uid_t uid, std::uint32_t /*accounts*/, const Holding& held) {
    const auto connected = clients_of_uid_.find(uid);
    users.push_back(
        {.uid = uid, .connections = connected == clients_of_uid_.end() ? 0 : connected->second, .held = held});
  });
  std::vector<PoolSize> sizes;
  for (const auto& pool : pools_) sizes.push_back({&pool->config(), pool->fleet().target()});
  return status_document({.state = stopping_ ? "stopping" : "running",
                          .started_ns = started_ns_,
                          .clients = clients,
                          .users = users,
                          .descriptors = accounts_.held().descriptors,
                          .descriptors_max = accounts_.limits().descriptors.max,
                          .ceiling = memory_ceiling(config_.limits, sizes, kGeometry)},
                         pools_);
}

// ---- The end ---------------------------------------------------------------------------------------

asio::awaitable<void> Server::all_stopped() {
  for (const auto& pool : pools_) co_await pool->stopped();
}

asio::awaitable<void> Server::shut_down() {
  using namespace asio::experimental::awaitable_operators;
  stopping_ = true;
  ::sd_notify(0, "STOPPING=1\nSTATUS=finishing running jobs");
  close_sockets();
  for (Session& session : sessions_) session.shut_down();
  for (const auto& pool : pools_) pool->stop();

  asio::steady_timer grace(io_, std::chrono::milliseconds(config_.shutdown_grace_ms));
  const auto ended =
      co_await (all_stopped() || grace.async_wait(asio::use_awaitable) || signals_.async_wait(asio::use_awaitable));
  if (ended.index() != 0) {
    log_event(LogLevel::kWarn, "grace_over", {{"reason", ended.index() == 1 ? "shutdown_grace_ms" : "second signal"}});
    for (const auto& pool : pools_) pool->kill_all();
    co_await all_stopped();
  }
  const auto sessions_gone = [this]() -> asio::awaitable<void> {
    while (!sessions_.empty()) co_await session_ended_.wait();
  };
  asio::steady_timer patience(io_, kSessionsGrace);
  co_await (sessions_gone() || patience.async_wait(asio::use_awaitable));
  std::uint64_t answered = 0;
  for (const auto& pool : pools_) answered += pool->facts().accepted;
  log_event(LogLevel::kInfo, "stopped", {{"jobs_answered", answered}});
}

}  // namespace quern::supervisor
