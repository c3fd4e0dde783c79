#include "client/connection.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/connect.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstring>

#include "common/paths.h"
#include "ipc/fd_passing.h"

namespace quern::client {

namespace asio = boost::asio;

namespace {

constexpr std::size_t kInBytesAtRest = 256U << 10;
constexpr std::size_t kOutSegmentBytes = 64U << 10;

Error unreachable(std::string message) {
  return Error{.code = ErrorCode::kUnreachable, .message = std::move(message)};
}

}  // namespace

Client::Connection::Connection(ClientOptions options)
    : options_(std::move(options)), io_(1), socket_(io_), timer_(io_), in_(kInBytesAtRest) {
  if (options_.socket_path.empty()) options_.socket_path = fmt::format("{}/{}", default_runtime_dir(), kClientSocketName);
  thread_ = std::thread([this] {
    const auto work = asio::make_work_guard(io_);
    io_.run();
  });
}

Client::Connection::~Connection() {
  asio::post(io_, [this] {
    take_requests();
    disconnect({.code = ErrorCode::kCancelled, .message = "the client was destroyed before the answer came"});
    io_.stop();
  });
  thread_.join();
}

// ---- Callers' side ---------------------------------------------------------------------------------

void Client::Connection::post(Request request) {
  bool wake = false;
  {
    const std::lock_guard lock(mutex_);
    inbox_.push_back(std::move(request));
    wake = !std::exchange(woken_, true);
  }
  if (wake) asio::post(io_, [this] { take_requests(); });
}

std::uint64_t Client::Connection::submit(Job job, Handler handler) {
  bool wake = false;
  std::uint64_t number = 0;
  {
    const std::lock_guard lock(mutex_);
    number = next_number_++;
    inbox_.push_back(Request{.number = number, .job = std::move(job), .handler = std::move(handler)});
    wake = !std::exchange(woken_, true);
  }
  if (wake) asio::post(io_, [this] { take_requests(); });
  return number;
}

void Client::Connection::cancel(std::uint64_t number) { post(Request{.number = number, .cancel = true}); }

void Client::Connection::ask(wire::FrameType type, std::vector<std::byte> body, TextHandler handler) {
  std::uint64_t number = 0;
  {
    const std::lock_guard lock(mutex_);
    number = next_number_++;
  }
  post(Request{.number = number, .type = type, .body = std::move(body), .text_handler = std::move(handler)});
}

// ---- Requests, on the thread -------------------------------------------------------------------------

void Client::Connection::take_requests() {
  {
    const std::lock_guard lock(mutex_);
    std::swap(inbox_, taken_);
    woken_ = false;
  }
  for (Request& request : taken_) start(request);
  taken_.clear();
  if (waiting_.empty()) return;
  ensure_connected();
  if (state_ == State::kConnected) flush();
}

void Client::Connection::start(Request& request) {
  if (request.cancel) {
    if (!waiting_.contains(request.number)) return;
    wire::FrameBuilder frame(out_buffer({}, {}), wire::FrameType::kCancel, request.number);
    frame.finish();
    return;
  }
  Waiting waiting{.handler = std::move(request.handler), .text_handler = std::move(request.text_handler)};
  if (request.job) {
    if (request.job->timeout.count() > 0) waiting.expires = Clock::now() + request.job->timeout;
    waiting.on_progress = std::move(request.job->on_progress);
    if (waiting.on_progress) request.job->options.want_progress = true;
  }
  const auto expires = waiting.expires;
  waiting_.emplace(request.number, std::move(waiting));
  if (expires != Clock::time_point::max()) watch_time(expires);
  if (request.job) return encode_job(request.number, *request.job);
  wire::FrameBuilder frame(out_buffer({}, {}), request.type, request.number);
  frame.body().bytes(request.body);
  frame.finish();
}

void Client::Connection::encode_job(std::uint64_t number, const Job& job) {
  if (job.kind.empty() || job.kind.size() > wire::kKindBytesMax || job.parts.size() > wire::kPartsMax) {
    return fail(number, {.code = ErrorCode::kInvalidArgument, .message = "a job has a kind and at most 1024 parts", .field = "kind"});
  }
  std::vector<wire::Part> parts;
  std::vector<int> fds;
  std::vector<std::shared_ptr<unique_fd>> keep;
  for (const Part& part : job.parts) {
    if (part.error() != nullptr) return fail(number, *part.error());
    if (part.name().size() > wire::kPartNameBytesMax) {
      return fail(number, {.code = ErrorCode::kInvalidArgument, .message = "a part's name has at most 47 bytes", .field = "parts"});
    }
    wire::Part wire_part{.name = part.name(), .in_fd = part.in_fd(), .bytes = part.bytes().size(), .data = part.bytes()};
    if (part.in_fd()) {
      const auto bytes = ipc::sealed_size(part.fd().get());
      if (!bytes) return fail(number, bytes.error());
      wire_part.bytes = *bytes;
      fds.push_back(part.fd().get());
      keep.push_back(part.shared_fd());
    }
    parts.push_back(wire_part);
  }
  if (fds.size() > wire::kFrameFdsMax) {
    return fail(number, {.code = ErrorCode::kTooLarge, .message = "a job has at most 64 parts above 64 KiB"});
  }
  const auto fd_count = static_cast<std::uint16_t>(fds.size());
  wire::FrameBuilder frame(out_buffer(std::move(fds), std::move(keep)), wire::FrameType::kSubmit, number, fd_count);
  wire::encode_submit_head(frame.body(), job.kind, job.options);
  wire::encode_job_body(frame.body(), job.params_json, parts);
  frame.finish();
}

// Descriptors travel with the first byte of a segment, so a frame that has some begins a new one.
wire::Buffer& Client::Connection::out_buffer(std::vector<int> fds, std::vector<std::shared_ptr<unique_fd>> keep) {
  if (out_.empty() || !fds.empty() || out_.back().bytes.size() >= kOutSegmentBytes) out_.emplace_back();
  if (!fds.empty()) {
    out_.back().fds = std::move(fds);
    out_.back().keep = std::move(keep);
  }
  return out_.back().bytes;
}

// ---- Connecting --------------------------------------------------------------------------------------

void Client::Connection::ensure_connected() {
  if (state_ != State::kDisconnected) return;
  state_ = State::kConnecting;
  ++epoch_;
  asio::co_spawn(io_, connect(), asio::detached);
}

asio::awaitable<void> Client::Connection::connect() {
  using namespace asio::experimental::awaitable_operators;
  boost::system::error_code failure;
  socket_ = Socket(io_);
  co_await socket_.async_connect(asio::local::stream_protocol::endpoint(options_.socket_path),
                                 asio::redirect_error(asio::use_awaitable, failure));
  if (failure) {
    disconnect(unreachable(fmt::format("no server at {}: {}; is quernd running?", options_.socket_path, failure.message())));
    co_return;
  }
  socket_.native_non_blocking(true);
  asio::steady_timer patience(io_, options_.connect_timeout);
  auto shaken = co_await (shake_hands() || patience.async_wait(asio::use_awaitable));
  if (shaken.index() == 1 || !std::get<0>(shaken)) {
    disconnect(shaken.index() == 1 ? unreachable("the server did not answer the hello in time") : std::get<0>(shaken).error());
    co_return;
  }
  state_ = State::kConnected;
  asio::co_spawn(io_, read_answers(epoch_), asio::detached);
  flush();
}

asio::awaitable<Result<void>> Client::Connection::shake_hands() {
  wire::Buffer hello;
  wire::encode_hello(hello, {.features = wire::kFeatureAcceptsFds, .client_name = options_.name});
  if (auto sent = ipc::send_with_fds(socket_.native_handle(), hello); !sent) co_return sent.error();
  in_begin_ = in_end_ = 0;
  for (;;) {
    boost::system::error_code failure;
    co_await socket_.async_wait(Socket::wait_read, asio::redirect_error(asio::use_awaitable, failure));
    if (failure) co_return unreachable(failure.message());
    const auto received = ipc::receive_with_fds(socket_.native_handle(), std::span(in_).subspan(in_end_), in_fds_);
    if (!received) co_return received.error();
    if (received->status == ipc::IoStatus::kClosed) co_return unreachable("the server closed the connection");
    in_end_ += received->bytes;
    const ipc::ByteSpan bytes = ipc::ByteSpan(in_).first(in_end_);
    if (bytes.size() < wire::kHeaderBytes) continue;
    const auto header = wire::decode_header(bytes);
    if (header.body_bytes > in_.size() - wire::kHeaderBytes) co_return unreachable("the server's welcome is malformed");
    if (bytes.size() < wire::kHeaderBytes + header.body_bytes) continue;
    const auto body = bytes.subspan(wire::kHeaderBytes, header.body_bytes);
    if (header.type == wire::FrameType::kGoingAway) co_return wire::decode_error(body).value_or(unreachable("refused"));
    if (header.type != wire::FrameType::kWelcome) co_return unreachable("the server does not speak Quern's protocol");
    const auto welcome = wire::decode_welcome(body);
    if (!welcome) co_return welcome.error();
    welcome_ = *welcome;
    welcome_.server_version = {};
    in_begin_ = wire::kHeaderBytes + header.body_bytes;
    going_away_.reset();
    co_return Result<void>();
  }
}

void Client::Connection::disconnect(const Error& why) {
  boost::system::error_code ignored;
  socket_.close(ignored);
  state_ = State::kDisconnected;
  ++epoch_;
  out_.clear();
  writing_ = false;
  in_begin_ = in_end_ = 0;
  in_fds_.clear();
  auto orphans = std::exchange(waiting_, {});
  for (auto& [number, waiting] : orphans) {
    if (waiting.handler) waiting.handler(why);
    if (waiting.text_handler) waiting.text_handler(why);
  }
}

// ---- Writing -----------------------------------------------------------------------------------------

void Client::Connection::flush() {
  while (!out_.empty() && !writing_) {
    OutSegment& segment = out_.front();
    const auto rest = ipc::ByteSpan(segment.bytes).subspan(segment.sent);
    const auto sent = ipc::send_with_fds(socket_.native_handle(), rest, segment.sent == 0 ? std::span<const int>(segment.fds) : std::span<const int>());
    if (!sent || sent->status == ipc::IoStatus::kClosed) return;  // reading finds out why
    segment.sent += sent->bytes;
    if (sent->status == ipc::IoStatus::kWouldBlock) {
      writing_ = true;
      asio::co_spawn(io_, write_rest(epoch_), asio::detached);
    } else if (segment.sent == segment.bytes.size()) {
      out_.pop_front();
    }
  }
}

asio::awaitable<void> Client::Connection::write_rest(std::uint64_t epoch) {
  boost::system::error_code failure;
  co_await socket_.async_wait(Socket::wait_write, asio::redirect_error(asio::use_awaitable, failure));
  if (failure || epoch != epoch_) co_return;
  writing_ = false;
  flush();
}

// ---- Reading -----------------------------------------------------------------------------------------

asio::awaitable<void> Client::Connection::read_answers(std::uint64_t epoch) {
  boost::system::error_code failure;
  for (;;) {
    if (auto handled = handle_frames(); !handled) {
      if (epoch == epoch_) disconnect(handled.error());
      co_return;
    }
    if (epoch != epoch_) co_return;  // a handler's doing
    const std::span<std::byte> room = std::span(in_).subspan(in_end_);
    const auto received = ipc::receive_with_fds(socket_.native_handle(), room, in_fds_);
    if (!received || received->status == ipc::IoStatus::kClosed) {
      disconnect(going_away_.value_or(unreachable("the connection to the server broke before the answer came")));
      co_return;
    }
    in_end_ += received->bytes;
    if (received->bytes == room.size()) continue;
    if (received->status == ipc::IoStatus::kDone && in_end_ > in_begin_) {
      if (auto handled = handle_frames(); !handled) {
        if (epoch == epoch_) disconnect(handled.error());
        co_return;
      }
      if (epoch != epoch_) co_return;
    }
    co_await socket_.async_wait(Socket::wait_read, asio::redirect_error(asio::use_awaitable, failure));
    if (failure || epoch != epoch_) co_return;
  }
}

// Handles all whole frames, and leaves room for the rest of the next.
Result<void> Client::Connection::handle_frames() {
  const std::uint64_t epoch = epoch_;
  std::size_t wanted = wire::kHeaderBytes;
  while (in_end_ - in_begin_ >= wire::kHeaderBytes) {
    const ipc::ByteSpan bytes(in_.data() + in_begin_, in_end_ - in_begin_);
    const auto header = wire::decode_header(bytes);
    wanted = wire::kHeaderBytes + header.body_bytes;
    if (bytes.size() < wanted) break;
    in_begin_ += wanted;
    if (auto handled = handle(header, bytes.subspan(wire::kHeaderBytes, header.body_bytes)); !handled) return handled;
    if (epoch != epoch_) return {};
    wanted = wire::kHeaderBytes;
  }
  const std::size_t held = in_end_ - in_begin_;
  if (in_begin_ > 0 && (held == 0 || in_begin_ + wanted > in_.size())) {
    std::memmove(in_.data(), in_.data() + in_begin_, held);
    in_begin_ = 0;
    in_end_ = held;
  }
  if (wanted > in_.size()) {
    in_.resize(wanted);
  } else if (held == 0 && in_.size() > 16 * kInBytesAtRest) {
    in_.resize(kInBytesAtRest);
    in_.shrink_to_fit();
  }
  return {};
}

Result<void> Client::Connection::handle(const wire::FrameHeader& header, ipc::ByteSpan body) {
  switch (header.type) {
    case wire::FrameType::kResult: {
      auto result = read_result(header, body);
      finish(header.request_id, std::move(result), Error{.code = ErrorCode::kProtocolError, .message = "an unexpected result"});
      return {};
    }
    case wire::FrameType::kError: {
      const auto error = wire::decode_error(body);
      if (!error) return unreachable("the server sent a malformed error");
      fail(header.request_id, *error);
      return {};
    }
    case wire::FrameType::kProgress: {
      const auto progress = wire::decode_progress(body);
      const auto at = waiting_.find(header.request_id);
      if (progress && at != waiting_.end() && at->second.on_progress) at->second.on_progress(*progress);
      return {};
    }
    case wire::FrameType::kPong:
    case wire::FrameType::kText:
      finish(header.request_id, Error{.code = ErrorCode::kProtocolError, .message = "an unexpected text"}, std::string(ipc::as_text(body)));
      return {};
    case wire::FrameType::kGoingAway:
      going_away_ = wire::decode_error(body);  // what is in flight is still answered
      return {};
    default: return unreachable(fmt::format("the server sent a frame of unknown type {}", static_cast<unsigned>(header.type)));
  }
}

Result<JobResult> Client::Connection::read_result(const wire::FrameHeader& header, ipc::ByteSpan body) {
  const auto view = wire::decode_result(body);
  if (!view) return view.error();
  if (auto decoded = wire::decode_parts(view->parts, parts_); !decoded) return decoded.error();
  if (in_fds_.size() < header.fd_count) return unreachable("a result came without its descriptors");
  JobResult result{.parts = {}, .info = view->info};
  std::size_t next_fd = 0;
  for (const wire::Part& part : parts_) {
    if (!part.in_fd) {
      result.parts.emplace_back(std::string(part.name), std::vector<std::byte>(part.data.begin(), part.data.end()));
      continue;
    }
    if (next_fd == header.fd_count) return unreachable("a result came without its descriptors");
    unique_fd fd = std::move(in_fds_[next_fd++]);
    const auto bytes = ipc::sealed_size(fd.get());
    if (!bytes || *bytes != part.bytes) return unreachable("a result's descriptor is not what the server says");
    auto mapping = ipc::Mapping::map(fd.get(), *bytes, ipc::Access::kReadOnly);
    if (!mapping) return mapping.error();
    result.parts.emplace_back(std::string(part.name), std::move(fd), std::move(*mapping));
  }
  in_fds_.erase(in_fds_.begin(), in_fds_.begin() + header.fd_count);
  return result;
}

void Client::Connection::finish(std::uint64_t number, Result<JobResult> job_result, Result<std::string> text) {
  const auto at = waiting_.find(number);
  if (at == waiting_.end()) return;
  const Waiting waiting = std::move(at->second);
  waiting_.erase(at);
  if (waiting.handler) waiting.handler(std::move(job_result));
  if (waiting.text_handler) waiting.text_handler(std::move(text));
}

void Client::Connection::fail(std::uint64_t number, const Error& error) { finish(number, error, error); }

// ---- Time --------------------------------------------------------------------------------------------

void Client::Connection::watch_time(Clock::time_point earliest) {
  if (earliest >= timer_at_) return;
  timer_at_ = earliest;
  timer_.expires_at(earliest);
  timer_.async_wait([this](boost::system::error_code cancelled) {
    if (!cancelled) expire();
  });
}

void Client::Connection::expire() {
  timer_at_ = Clock::time_point::max();
  const auto now = Clock::now();
  auto next = Clock::time_point::max();
  std::vector<std::uint64_t> late;
  for (const auto& [number, waiting] : waiting_) {
    if (waiting.expires <= now) {
      late.push_back(number);
    } else {
      next = std::min(next, waiting.expires);
    }
  }
  for (const std::uint64_t number : late) {
    if (state_ == State::kConnected) wire::FrameBuilder(out_buffer({}, {}), wire::FrameType::kCancel, number).finish();
    fail(number, {.code = ErrorCode::kTimeout, .message = "no answer came within the client's own time limit", .cause = {CauseKind::kDeadline, 0}});
  }
  if (state_ == State::kConnected) flush();
  watch_time(next);
}

}  // namespace quern::client
