// The socket's side of a connection: connecting, reading, writing, and the end of each.
#include <errno.h>
#include <fmt/format.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "client/connection.h"
#include "client/job_frame.h"

namespace quern::client {

namespace asio = boost::asio;
using namespace std::chrono_literals;

namespace {

// Between two tries to reach a server that is not there yet: doubled from the first to the second.
constexpr std::chrono::milliseconds kRetryPauseMin = 1ms;
constexpr std::chrono::milliseconds kRetryPauseMax = 100ms;

Error unreachable(std::string message) { return Error{.code = ErrorCode::kUnreachable, .message = std::move(message)}; }
Error broken(std::string message) { return Error{.code = ErrorCode::kProtocolError, .message = std::move(message)}; }

Error connect_error(const std::string& path, int failure) {
  if (failure == EACCES || failure == EPERM) {
    return Error{.code = ErrorCode::kPermissionDenied,
                 .message = fmt::format("you may not connect to {}; its owner and group may", path)};
  }
  return unreachable(fmt::format("no server at {}: {}; is quernd running?", path, ::strerrordesc_np(failure)));
}

}  // namespace

// ---- Connecting --------------------------------------------------------------------------------------

asio::awaitable<void> Client::Connection::connect(std::uint64_t epoch) {
  const auto began = Clock::now();
  auto pause = kRetryPauseMin;
  for (;;) {
    const auto ready = co_await try_to_connect(Clock::now() + options_.connect_timeout);
    if (epoch != epoch_) co_return;
    if (ready) break;
    const bool again = can_retry(ready.error().code) && Clock::now() + pause < began + options_.reconnect_for;
    if (!again || waiting_.empty()) co_return disconnect(ready.error());
    co_await pause_until(Clock::now() + pause);
    pause = std::min(2 * pause, kRetryPauseMax);
  }
  state_ = State::kConnected;
  asio::co_spawn(io_, read_answers(epoch), asio::detached);
  send_backlog();
}

asio::awaitable<Result<void>> Client::Connection::try_to_connect(Clock::time_point deadline) {
  using namespace asio::experimental::awaitable_operators;
  boost::system::error_code ignored;
  socket_.close(ignored);
  out_.clear();
  in_.clear();
  if (auto opened = co_await open_socket(deadline); !opened) co_return opened.error();
  auto shaken = co_await (shake_hands() || pause_until(deadline));
  if (shaken.index() == 1) co_return unreachable("the server did not answer the hello in time");
  co_return std::get<0>(shaken);
}

asio::awaitable<void> Client::Connection::pause_until(Clock::time_point until) {
  asio::steady_timer timer(io_, until);
  co_await timer.async_wait(asio::use_awaitable);
}

// By hand: Asio takes EAGAIN, a full backlog, for a connection in progress.
asio::awaitable<Result<void>> Client::Connection::open_socket(Clock::time_point deadline) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string& path = options_.socket_path;
  if (path.size() >= sizeof address.sun_path) {
    co_return Error{.code = ErrorCode::kInvalidArgument,
                    .message = fmt::format("{} is longer than a socket's path may be", path)};
  }
  path.copy(address.sun_path, path.size());
  unique_fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) co_return system_error("socket", "", errno);
  while (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    if (errno == EINTR) continue;
    if (errno != EAGAIN) co_return connect_error(path, errno);
    if (Clock::now() > deadline) co_return unreachable(fmt::format("the server at {} accepts no connections", path));
    co_await pause_until(Clock::now() + kRetryPauseMin);
  }
  socket_.assign(asio::local::stream_protocol(), fd.release());
  co_return Result<void>();
}

asio::awaitable<Result<void>> Client::Connection::shake_hands() {
  wire::encode_hello(out_.frame(), {.features = wire::kFeatureAcceptsFds, .client_name = options_.name});
  if (auto sent = out_.send(socket_.native_handle()); !sent) co_return sent.error();
  for (;;) {
    boost::system::error_code failure;
    co_await socket_.async_wait(Socket::wait_read, asio::redirect_error(asio::use_awaitable, failure));
    if (failure) co_return unreachable(failure.message());
    const auto received = in_.receive(socket_.native_handle());
    if (!received) co_return received.error();
    if (received->status == ipc::IoStatus::kClosed) co_return unreachable("the server closed the connection at once");
    const auto frame = in_.next();
    if (!frame) co_return frame.error();
    if (!*frame) continue;
    const wire::FrameType type = (*frame)->header.type;
    if (type == wire::FrameType::kGoingAway || type == wire::FrameType::kError) {
      co_return wire::decode_error((*frame)->body).value_or(broken("the server's refusal is malformed"));
    }
    if (type != wire::FrameType::kWelcome) co_return broken("what listens there does not speak Quern's protocol");
    const auto welcome = wire::decode_welcome((*frame)->body);
    if (!welcome) co_return welcome.error();
    jobs_max_ = std::max(welcome->jobs_max, 1U);
    frame_bytes_max_ = welcome->frame_bytes_max;
    co_return Result<void>();
  }
}

void Client::Connection::disconnect(const Error& why) {
  boost::system::error_code ignored;
  socket_.close(ignored);
  state_ = State::kDisconnected;
  ++epoch_;
  jobs_max_ = 0;
  out_.clear();
  writing_ = false;
  in_.clear();
  answer_all(why);
}

// ---- Writing -----------------------------------------------------------------------------------------

void Client::Connection::flush() {
  if (writing_ || out_.empty() || !socket_.is_open()) return;
  const auto sent = out_.send(socket_.native_handle());
  if (!sent) return disconnect(sent.error());
  // when the server has closed, reading finds that out, after what it still has to say
  if (*sent != ipc::IoStatus::kWouldBlock) return;
  writing_ = true;
  asio::co_spawn(io_, write_rest(epoch_), asio::detached);
}

asio::awaitable<void> Client::Connection::write_rest(std::uint64_t epoch) {
  boost::system::error_code failure;
  co_await socket_.async_wait(Socket::wait_write, asio::redirect_error(asio::use_awaitable, failure));
  if (epoch != epoch_) co_return;
  writing_ = false;
  if (!failure) flush();
}

// ---- Reading -----------------------------------------------------------------------------------------

asio::awaitable<void> Client::Connection::read_answers(std::uint64_t epoch) {
  for (bool more = true;;) {
    auto handled = handle_frames();
    if (!handled) disconnect(handled.error());
    take_requests();  // what the handlers submitted, without another wake-up
    if (epoch != epoch_) co_return;
    if (!more) {
      boost::system::error_code failure;
      co_await socket_.async_wait(Socket::wait_read, asio::redirect_error(asio::use_awaitable, failure));
      if (epoch != epoch_) co_return;
      if (failure) co_return disconnect(unreachable(failure.message()));
    }
    const auto received = in_.receive(socket_.native_handle());
    if (!received) co_return disconnect(received.error());
    if (received->status == ipc::IoStatus::kClosed) {
      co_return disconnect(state_ == State::kLeaving
                               ? going_away_
                               : unreachable("the connection broke before the answer came; the job may have run"));
    }
    more = received->filled;
  }
}

Result<void> Client::Connection::handle_frames() {
  {
    const std::lock_guard lock(mutex_);
    woken_ = true;  // the caller looks into the inbox when we are done here
  }
  for (;;) {
    auto frame = in_.next();
    if (!frame) return frame.error();
    if (!*frame) return {};
    if (auto handled = handle(**frame); !handled) return handled;
  }
}

// An Error ends the connection.
Result<void> Client::Connection::handle(Incoming::Frame& frame) {
  switch (frame.header.type) {
    case wire::FrameType::kResult:
    case wire::FrameType::kError:
    case wire::FrameType::kPong:
    case wire::FrameType::kAttached:
    case wire::FrameType::kText: return handle_answer(frame);
    case wire::FrameType::kProgress: {
      const auto progress = wire::decode_progress(frame.body);
      if (!progress) return progress.error();
      const auto at = waiting_.find(frame.header.request_id);
      if (at != waiting_.end() && at->second.on_progress) at->second.on_progress(*progress);
      return {};
    }
    case wire::FrameType::kChunk: {
      const auto at = waiting_.find(frame.header.request_id);
      if (at == waiting_.end() || !at->second.is_job) return broken("the server sent a result that was not asked for");
      if (at->second.on_bytes) at->second.on_bytes(frame.body);
      return {};
    }
    case wire::FrameType::kGoingAway: {
      const auto reason = wire::decode_error(frame.body);
      if (!reason) return broken("the server's last word is malformed");
      if (reason->code != ErrorCode::kShuttingDown) return *reason;
      going_away_ = *reason;  // what is in flight is still answered
      state_ = State::kLeaving;
      while (!backlog_.empty()) {
        const std::uint64_t number = backlog_.front().number;
        backlog_.pop_front();
        answer(number, going_away_);
      }
      return {};
    }
    default:
      return broken(
          fmt::format("the server sent a frame of unknown type {}", static_cast<unsigned>(frame.header.type)));
  }
}

Result<void> Client::Connection::handle_answer(Incoming::Frame& frame) {
  const auto at = waiting_.find(frame.header.request_id);
  if (at == waiting_.end() || !at->second.sent) return broken("the server answered what was not asked");
  if (frame.header.type == wire::FrameType::kError) {
    const auto error = wire::decode_error(frame.body);
    if (!error) return broken("the server sent a malformed error");
    answer(frame.header.request_id, *error);
    return {};
  }
  if (at->second.is_job != (frame.header.type == wire::FrameType::kResult))
    return broken("the server's answer is of the wrong type");
  Waiting ended = std::move(at->second);
  waiting_.erase(at);
  if (!ended.is_job) {
    const auto* handler = std::get_if<ReplyHandler>(&ended.handler);
    if (handler != nullptr && *handler) {
      (*handler)(Reply{.body = std::string(ipc::as_text(frame.body)), .fds = std::move(frame.fds)});
    }
    return {};
  }
  --jobs_in_flight_;
  auto result = read_result(frame.body, std::move(frame.fds), parts_);
  const bool trusted = result || result.error().code != ErrorCode::kProtocolError;
  const Error mistrust = trusted ? Error{} : result.error();
  if (const auto& handler = std::get<Handler>(ended.handler)) handler(std::move(result));
  return trusted ? Result<void>() : Result<void>(mistrust);
}

}  // namespace quern::client
