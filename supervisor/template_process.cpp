#include "supervisor/template_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <string_view>
#include <utility>

namespace quern::supervisor {

namespace asio = boost::asio;

namespace {

std::vector<std::string> lines_of(std::string_view text) {
  std::vector<std::string> lines;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    lines.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

}  // namespace

Result<std::unique_ptr<TemplateProcess>> TemplateProcess::start(asio::io_context& io, ChildRegistry& registry,
                                                                const TemplateOptions& options) {
  auto control = ipc::make_control_pair();
  if (!control) return control.error();
  if (::fcntl(control->supervisor.get(), F_SETFL, O_NONBLOCK) != 0) return system_error("fcntl", "control", errno);
  std::vector<std::string> arguments{"--pool", options.pool,       "--control-fd",
                                     "3",      "--supervisor-pid", std::to_string(::getpid())};
  for (const std::string& path : options.module_paths) {
    arguments.emplace_back("--module");
    arguments.push_back(path);
  }
  if (options.memory_bytes_max > 0) {
    arguments.emplace_back("--memory-bytes-max");
    arguments.push_back(std::to_string(options.memory_bytes_max));
  }
  if (options.processes) arguments.emplace_back("--allow-processes");
  auto spawned = spawn_executable(options.worker_path, arguments, control->child);
  if (!spawned) return spawned.error();
  return std::unique_ptr<TemplateProcess>(
      new TemplateProcess(io, registry, std::move(*spawned), std::move(control->supervisor)));
}

TemplateProcess::TemplateProcess(asio::io_context& io, ChildRegistry& registry, Spawned spawned, unique_fd control)
    : control_(io, control.release()), process_(io, registry, spawned.pid, std::move(spawned.pidfd)) {}

asio::awaitable<Result<ipc::IoStatus>> TemplateProcess::receive() {
  for (;;) {
    const auto received = ipc::receive_control(control_.native_handle(), message_);
    if (!received || *received != ipc::IoStatus::kWouldBlock) co_return received;
    boost::system::error_code failure;
    co_await control_.async_wait(asio::posix::stream_descriptor::wait_read,
                                 asio::redirect_error(asio::use_awaitable, failure));
    if (failure) co_return ipc::IoStatus::kClosed;
  }
}

asio::awaitable<Result<std::vector<LoadedKind>>> TemplateProcess::load() {
  std::vector<LoadedKind> kinds;
  for (;;) {
    const auto received = co_await receive();
    if (!received) co_return received.error();
    if (*received == ipc::IoStatus::kClosed) {
      const Cause cause = co_await process_.exit();
      co_return Error{.code = ErrorCode::kUnavailable, .message = "the template ended while loading", .cause = cause};
    }
    switch (message_.header.type) {
      case ipc::ControlType::kKind: {
        const auto kind = ipc::decode_kind(message_.body);
        if (!kind) co_return kind.error();
        kinds.push_back(LoadedKind{.name = std::string(kind->name),
                                   .description_json = std::string(kind->description_json),
                                   .sensitive = kind->sensitive,
                                   .canary = kind->canary});
        break;
      }
      case ipc::ControlType::kReady: co_return kinds;
      case ipc::ControlType::kLoadFailed:
        co_return Error{.code = ErrorCode::kUnavailable, .message = std::string(ipc::as_text(message_.body))};
      default:
        co_return Error{.code = ErrorCode::kProtocolError, .message = "an unexpected message from a loading template"};
    }
  }
}

asio::awaitable<Cause> TemplateProcess::mind(TemplateEvents& events) {
  using namespace asio::experimental::awaitable_operators;
  const auto ended = co_await (process_.exit() || serve(events));
  if (ended.index() == 0) co_return std::get<0>(ended);
  kill();  // it closed its socket, or said what no template says
  co_return co_await process_.exit();
}

asio::awaitable<void> TemplateProcess::serve(TemplateEvents& events) {
  for (;;) {
    const auto received = co_await receive();
    if (!received || *received == ipc::IoStatus::kClosed) co_return;
    const ipc::ControlHeader header = message_.header;
    if (header.type == ipc::ControlType::kSpawned && message_.fds.size() == 1) {
      events.on_spawned(header.id, header.value, std::move(message_.fds.front()));
    } else if (header.type == ipc::ControlType::kSpawnFailed) {
      events.on_spawn_failed(header.id, header.value);
    } else if (header.type == ipc::ControlType::kSymbols) {
      events.on_symbols(header.id, lines_of(ipc::as_text(message_.body)));
    } else {
      co_return;
    }
  }
}

Result<void> TemplateProcess::request(const ipc::ControlHeader& header, ipc::ByteSpan body, std::span<const int> fds) {
  const auto sent = ipc::send_control(control_.native_handle(), header, body, fds);
  if (!sent) return sent.error();
  if (sent->status != ipc::IoStatus::kDone) {
    return Error{.code = ErrorCode::kUnavailable, .message = "the template takes no more requests now"};
  }
  return {};
}

Result<void> TemplateProcess::request_spawn(Worker& worker) {
  const auto fds = worker.spawn_fds();
  if (auto asked = request({.type = ipc::ControlType::kSpawn, .id = worker.incarnation()}, {}, fds); !asked)
    return asked;
  worker.spawn_sent();
  worker.template_pid = pid();
  return {};
}

Result<void> TemplateProcess::request_symbols(std::uint64_t id, std::span<const std::uint64_t> addresses) {
  std::vector<std::byte> body;
  ipc::encode_addresses(body, addresses);
  return request({.type = ipc::ControlType::kSymbolize, .id = id}, body, {});
}

}  // namespace quern::supervisor
