#include "supervisor/session.h"

#include <fmt/format.h>
#include <poll.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <utility>

#include "common/log.h"
#include "ipc/memfd.h"
#include "supervisor/pool.h"

namespace quern::supervisor {

namespace asio = boost::asio;
using namespace std::chrono_literals;

namespace {

constexpr auto kHandshakeTimeout = 5s;
constexpr auto kLastWordsTimeout = 2s;

Error protocol_error(std::string message) {
  return Error{.code = ErrorCode::kProtocolError, .message = std::move(message)};
}

}  // namespace

Session::Session(asio::io_context& io, Socket socket, SessionHost& host, SessionLimits limits, SessionRole role)
    : io_(io),
      socket_(std::move(socket)),
      host_(host),
      limits_(limits),
      role_(role),
      out_ready_(io),
      relieved_(io),
      told_to_close_(io) {
  socket_.native_non_blocking(true);
}

// ---- The connection's life -------------------------------------------------------------------------

asio::awaitable<void> Session::run() {
  using namespace asio::experimental::awaitable_operators;
  try {
    co_await (read_requests() || write_answers() || until_peer_closed() || until_handshake_is_late() ||
              until_told_to_close());
  } catch (const std::exception& failure) {  // out of memory, for one client's sake: the others go on
    log_event(LogLevel::kError, "session_failed", {{"reason", std::string_view(failure.what())}});
  }
  if (pending_.job) host_.jobs().release(std::move(pending_.job));
  while (!jobs_.empty()) {
    Job& job = *jobs_.begin()->second;
    jobs_.erase(jobs_.begin());
    job.kind->pool->cancel(job, CauseKind::kClientGone);
  }
  co_await flush_at_the_end();
  while (operations_ > 0) co_await relieved_.wait();
}

asio::awaitable<void> Session::read_requests() {
  boost::system::error_code failure;
  for (;;) {
    if (pending_.job && !place_pending()) {
      co_await pending_.job->kind->pool->room().wait();
      continue;
    }
    if (jobs_.size() >= limits_.jobs_max || out_.bytes() >= kOutBytesMax) {
      co_await relieved_.wait();
      continue;
    }
    const Step step = handle_next_frame();
    if (step == Step::kClose) co_return;
    if (step == Step::kHandled) continue;

    const auto received = in_.receive(socket_.native_handle(), frame_bytes_);
    if (!received) {
      (void)close_with(received.error());
      co_return;
    }
    if (received->status == ipc::IoStatus::kClosed) break;
    if (received->filled) {
      co_await asio::post(asio::use_awaitable);  // a flood from one client; others have their turn
    } else if (received->status == ipc::IoStatus::kWouldBlock || in_.bytes().size() < frame_bytes_) {
      co_await socket_.async_wait(Socket::wait_read, asio::redirect_error(asio::use_awaitable, failure));
      if (failure) co_return;
    }
  }
  // the client has nothing more to ask but may still be listening
  while (!jobs_.empty() || operations_ > 0) co_await relieved_.wait();
}

asio::awaitable<void> Session::write_answers() {
  boost::system::error_code failure;
  for (;;) {
    while (out_.empty()) co_await out_ready_.wait();
    const auto sent = out_.send(socket_.native_handle());
    if (!sent || *sent == ipc::IoStatus::kClosed) co_return;
    relieved_.notify_all();
    if (*sent == ipc::IoStatus::kWouldBlock) {
      co_await socket_.async_wait(Socket::wait_write, asio::redirect_error(asio::use_awaitable, failure));
      if (failure) co_return;
    }
  }
}

// EPOLLHUP: both directions are shut, so nobody will read an answer. A client that only shuts its
// sending side still gets its answers.
asio::awaitable<void> Session::until_peer_closed() {
  boost::system::error_code cancelled;
  for (;;) {
    co_await socket_.async_wait(Socket::wait_error, asio::redirect_error(asio::use_awaitable, cancelled));
    if (cancelled) co_return;
    // Asio may hand over an event of a descriptor that was closed in the same turn: look for ourselves
    pollfd hangup{.fd = socket_.native_handle(), .events = 0, .revents = 0};
    if (::poll(&hangup, 1, 0) == 1) co_return;
  }
}

asio::awaitable<void> Session::until_handshake_is_late() {
  asio::steady_timer timer(io_, kHandshakeTimeout);
  co_await timer.async_wait(asio::use_awaitable);
  if (greeted_) {
    timer.expires_at(asio::steady_timer::time_point::max());
    co_await timer.async_wait(asio::use_awaitable);
  }
  send_error(0, protocol_error("no hello came within 5 seconds"));
}

asio::awaitable<void> Session::until_told_to_close() {
  while (!closing_) co_await told_to_close_.wait();
  while (!jobs_.empty()) co_await relieved_.wait();
}

asio::awaitable<void> Session::flush_at_the_end() {
  using namespace asio::experimental::awaitable_operators;
  const auto flush = [this]() -> asio::awaitable<void> {
    boost::system::error_code failure;
    while (!out_.empty() && !failure) {
      const auto sent = out_.send(socket_.native_handle());
      if (!sent || *sent == ipc::IoStatus::kClosed) co_return;
      if (*sent == ipc::IoStatus::kWouldBlock) {
        co_await socket_.async_wait(Socket::wait_write, asio::redirect_error(asio::use_awaitable, failure));
      }
    }
  };
  asio::steady_timer patience(io_, kLastWordsTimeout);
  co_await (flush() || patience.async_wait(asio::use_awaitable));
}

void Session::shut_down() {
  if (closing_) return;
  closing_ = true;
  wire::FrameBuilder frame(out_.frame(512), wire::FrameType::kGoingAway, 0);
  wire::encode_error(frame.body(), {.code = ErrorCode::kShuttingDown, .message = "the server is shutting down"});
  frame.finish();
  out_ready_.notify_all();
  told_to_close_.notify_all();
}

void Session::refuse(const Error& reason) {
  greeted_ = true;
  closing_ = true;
  (void)close_with(reason);
  told_to_close_.notify_all();
}

// ---- Requests --------------------------------------------------------------------------------------

Session::Step Session::close_with(const Error& error) {
  wire::FrameBuilder frame(out_.frame(512 + error.message.size()), wire::FrameType::kGoingAway, 0);
  wire::encode_error(frame.body(), error);
  frame.finish();
  return Step::kClose;
}

Session::Step Session::handle_next_frame() {
  const ipc::ByteSpan bytes = in_.bytes();
  frame_bytes_ = wire::kHeaderBytes;
  if (bytes.size() < wire::kHeaderBytes) return Step::kNeedBytes;
  const wire::FrameHeader header = wire::decode_header(bytes);
  const std::uint32_t bytes_max = greeted_ ? limits_.frame_bytes_max : wire::kHandshakeBodyBytesMax;
  if (header.body_bytes > bytes_max) {
    return close_with(
        protocol_error(fmt::format("a frame of {} bytes; at most {} are allowed here (send large parts as "
                                   "sealed memfds)",
                                   header.body_bytes, bytes_max)));
  }
  if (header.fd_count > wire::kFrameFdsMax) {
    return close_with(protocol_error(
        fmt::format("{} descriptors in a frame; at most {} are allowed", header.fd_count, wire::kFrameFdsMax)));
  }
  frame_bytes_ = wire::kHeaderBytes + header.body_bytes;
  if (bytes.size() < frame_bytes_) return Step::kNeedBytes;
  consumed_secret_ = false;
  const auto handled = handle(header, bytes.subspan(wire::kHeaderBytes, header.body_bytes));
  in_.consume(frame_bytes_, consumed_secret_);
  frame_bytes_ = wire::kHeaderBytes;
  return handled ? Step::kHandled : close_with(handled.error());
}

// An Error here is a protocol error and ends the connection; what is wrong with a request is answered
// and returns success.
Result<void> Session::handle(const wire::FrameHeader& header, ipc::ByteSpan body) {
  if (!greeted_) return greet(header, body);
  switch (header.type) {
    case wire::FrameType::kSubmit: return submit(header, body);
    case wire::FrameType::kCancel: {
      // an id that is not in flight was answered already: the frames crossed
      if (const auto at = jobs_.find(header.request_id); at != jobs_.end()) {
        at->second->kind->pool->cancel(*at->second, CauseKind::kCancelledByClient);
      }
      return {};
    }
    case wire::FrameType::kPing: {
      if (body.size() > wire::kPingBytesMax) return protocol_error("a ping of more than 64 bytes");
      wire::FrameBuilder frame(out_.frame(wire::kHeaderBytes + body.size()), wire::FrameType::kPong, header.request_id);
      frame.body().bytes(body);
      frame.finish();
      out_ready_.notify_all();
      return {};
    }
    case wire::FrameType::kKinds: send_text(header.request_id, host_.kinds_document()); return {};
    case wire::FrameType::kAdmin: return administer(header, body);
    default:
      return protocol_error(
          fmt::format("a frame of type {} is nothing a client sends", static_cast<unsigned>(header.type)));
  }
}

Result<void> Session::greet(const wire::FrameHeader& header, ipc::ByteSpan body) {
  if (header.type != wire::FrameType::kHello) return protocol_error("the first frame must be a hello");
  const auto hello = wire::decode_hello(body);
  if (!hello) return hello.error();
  if (hello->version_min > wire::kVersion || hello->version_max < wire::kVersion) {
    return protocol_error(fmt::format("this server speaks protocol version {}, the client versions {} to {}",
                                      wire::kVersion, hello->version_min, hello->version_max));
  }
  accepts_fds_ = (hello->features & wire::kFeatureAcceptsFds) != 0;
  greeted_ = true;
  wire::encode_welcome(out_.frame(256), {.frame_bytes_max = limits_.frame_bytes_max,
                                         .payload_bytes_max = limits_.payload_bytes_max,
                                         .jobs_max = limits_.jobs_max,
                                         .server_version = QUERN_VERSION});
  out_ready_.notify_all();
  return {};
}

Result<void> Session::submit(const wire::FrameHeader& header, ipc::ByteSpan body) {
  const auto submit = wire::decode_submit(body);
  std::vector<unique_fd> fds = in_.take_fds(header.fd_count);
  if (!submit && submit.error().code == ErrorCode::kProtocolError) return submit.error();
  if (fds.size() != header.fd_count) return protocol_error("a frame came without the descriptors it announces");
  if (header.request_id == 0) return protocol_error("request id 0 is the server's");
  if (jobs_.contains(header.request_id)) {
    return protocol_error(fmt::format("request id {} is in use by a job in flight", header.request_id));
  }
  auto job = submit ? make_job(header, *submit) : Result<std::unique_ptr<Job>>(submit.error());
  if (!job) {
    send_error(header.request_id, job.error());
    return {};
  }
  consumed_secret_ = (*job)->kind->sensitive;
  (*job)->fds = std::move(fds);
  for (const unique_fd& fd : (*job)->fds) {
    const auto bytes = ipc::sealed_size(fd.get());
    if (!bytes || *bytes > limits_.payload_bytes_max - (*job)->payload_bytes) {
      send_error(header.request_id, !bytes ? bytes.error()
                                           : Error{.code = ErrorCode::kTooLarge,
                                                   .message = fmt::format("the job's payload exceeds {} bytes "
                                                                          "(limits.payload_bytes_max)",
                                                                          limits_.payload_bytes_max)});
      host_.jobs().release(std::move(*job));
      return {};
    }
    (*job)->payload_bytes += *bytes;
  }
  pending_ = {std::move(*job), submit->options};
  (void)place_pending();  // read_requests waits if it has no place
  return {};
}

Result<std::unique_ptr<Job>> Session::make_job(const wire::FrameHeader& header, const wire::Submit& submit) {
  const Kind* kind = host_.find_kind(submit.kind);
  if (kind == nullptr) {
    const bool printable = std::ranges::all_of(submit.kind, [](char c) { return c > ' ' && c < 127; });
    return Error{.code = ErrorCode::kInvalidArgument,
                 .message = fmt::format("this server has no kind '{}'; `quern kinds` lists what it has",
                                        printable ? submit.kind : "?"),
                 .field = "kind"};
  }
  auto job = host_.jobs().acquire();
  job->kind = kind;
  job->client = this;
  job->request_id = header.request_id;
  job->body.assign(submit.job_body.begin(), submit.job_body.end());
  job->payload_bytes = job->body.size();
  return job;
}

// Gives the pending job to its pool. False: the pool is full, try again when it has room.
bool Session::place_pending() {
  Pool& pool = *pending_.job->kind->pool;
  Job& job = *pending_.job;
  const std::uint64_t request_id = job.request_id;
  jobs_.emplace(request_id, &job);  // first: the answer may come from within submit()
  const auto admitted = pool.submit(pending_.job, pending_.options);
  if (admitted && *admitted == Pool::Admission::kAccepted) return true;
  jobs_.erase(request_id);
  if (admitted) return false;
  Error refusal = admitted.error();
  refusal.job_id = job.id;
  send_error(request_id, refusal);
  host_.jobs().release(std::move(pending_.job));
  return true;
}

Result<void> Session::administer(const wire::FrameHeader& header, ipc::ByteSpan body) {
  const auto admin = wire::decode_admin(body);
  if (!admin) return admin.error();
  if (role_ != SessionRole::kOperator) {
    send_error(header.request_id,
               {.code = ErrorCode::kPermissionDenied, .message = "operators' requests are taken on admin.sock only"});
    return {};
  }
  ++operations_;
  asio::co_spawn(io_, answer_admin(header.request_id, admin->op, std::string(admin->pool), admin->value),
                 asio::detached);
  return {};
}

asio::awaitable<void> Session::answer_admin(std::uint64_t request_id, wire::AdminOp op, std::string pool,
                                            std::uint32_t value) {
  const auto answer = co_await host_.operate(op, std::move(pool), value);
  if (answer) {
    send_text(request_id, *answer);
  } else {
    send_error(request_id, answer.error());
  }
  --operations_;
  relieved_.notify_all();
}

// ---- Answers ---------------------------------------------------------------------------------------

void Session::on_result(Job& job, const wire::ResultInfo& info, const ResultParts& result) {
  if (accepts_fds_ || result.fds.empty()) {
    send_fd_result(job, info, result);
  } else {
    send_inline_result(job, info, result);
  }
  forget(job);
}

namespace {

std::vector<wire::Part> wire_parts(const ResultParts& result, bool fds_inline) {
  std::vector<wire::Part> parts;
  parts.reserve(result.parts.size());
  for (const ResultParts::Part& part : result.parts) {
    parts.push_back({.name = part.name, .in_fd = part.in_fd && !fds_inline, .bytes = part.bytes, .data = part.data});
  }
  return parts;
}

std::size_t head_bytes_max(const ResultParts& result) {
  return wire::kHeaderBytes + 128 + result.parts.size() * (16 + wire::kPartNameBytesMax);
}

}  // namespace

void Session::send_fd_result(Job& job, const wire::ResultInfo& info, const ResultParts& result) {
  std::size_t bytes = head_bytes_max(result);
  for (const auto& part : result.parts) bytes += part.data.size();
  std::vector<unique_fd> fds;
  for (unique_fd& fd : result.fds) fds.push_back(std::move(fd));
  const auto fd_count = static_cast<std::uint16_t>(fds.size());
  wire::FrameBuilder frame(out_.frame(bytes, std::move(fds), job.kind->sensitive), wire::FrameType::kResult,
                           job.request_id, fd_count);
  wire::encode_result_head(frame.body(), info);
  wire::encode_parts(frame.body(), wire_parts(result, false));
  frame.finish();
}

// For clients that take no descriptors: the memfds' contents follow the table, through sendfile.
void Session::send_inline_result(Job& job, const wire::ResultInfo& info, const ResultParts& result) {
  std::uint64_t data_bytes = 0;
  for (const auto& part : result.parts) data_bytes += part.bytes;
  if (data_bytes > UINT32_MAX - head_bytes_max(result)) {
    send_error(job.request_id, {.code = ErrorCode::kTooLarge,
                                .message = "a result of 4 GiB or more reaches only clients that accept descriptors",
                                .job_id = job.id});
    return;
  }
  wire::FrameBuilder frame(out_.frame(head_bytes_max(result), {}, job.kind->sensitive), wire::FrameType::kResult,
                           job.request_id);
  wire::encode_result_head(frame.body(), info);
  wire::encode_parts_table(frame.body(), wire_parts(result, true));
  frame.finish(data_bytes);
  std::size_t next_fd = 0;
  for (const auto& part : result.parts) {
    if (part.in_fd) {
      out_.append_file(std::move(result.fds[next_fd++]), part.bytes);
    } else {
      wire::Buffer& bytes = out_.continue_frame(part.data.size(), job.kind->sensitive);
      bytes.insert(bytes.end(), part.data.begin(), part.data.end());
    }
  }
}

void Session::on_error(Job& job, Error error) {
  send_error(job.request_id, error);
  forget(job);
}

void Session::on_progress(Job& job, const wire::Progress& progress) {
  if (out_.bytes() > kOutBytesMax / 2) return;  // a client that does not read needs no progress
  wire::FrameBuilder frame(out_.frame(64), wire::FrameType::kProgress, job.request_id);
  wire::encode_progress(frame.body(), progress);
  frame.finish();
  out_ready_.notify_all();
}

void Session::forget(const Job& job) {
  jobs_.erase(job.request_id);
  out_ready_.notify_all();
  relieved_.notify_all();
}

void Session::send_error(std::uint64_t request_id, const Error& error) {
  const std::size_t bytes = wire::kHeaderBytes + 64 + error.field.size() + error.message.size();
  wire::FrameBuilder frame(out_.frame(bytes), wire::FrameType::kError, request_id);
  wire::encode_error(frame.body(), error);
  frame.finish();
  out_ready_.notify_all();
}

void Session::send_text(std::uint64_t request_id, std::string_view text) {
  wire::FrameBuilder frame(out_.frame(wire::kHeaderBytes + text.size()), wire::FrameType::kText, request_id);
  frame.body().text(text);
  frame.finish();
  out_ready_.notify_all();
}

}  // namespace quern::supervisor
