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

#include "common/clock.h"
#include "common/log.h"
#include "supervisor/pool.h"

namespace quern::supervisor {

namespace asio = boost::asio;
using namespace std::chrono_literals;

namespace {

constexpr auto kLastWordsTimeout = 2s;

Error protocol_error(std::string message) {
  return Error{.code = ErrorCode::kProtocolError, .message = std::move(message)};
}

}  // namespace

Session::Session(asio::io_context& io, Socket socket, SessionHost& host, const LimitsConfig& limits, Peer peer,
                 Charge account)
    : io_(io),
      socket_(std::move(socket)),
      host_(host),
      limits_(limits),
      peer_(peer),
      received_(std::move(account)),
      out_(&host.closer()),
      unread_(received_.another()),
      out_ready_(io),
      relieved_(io),
      told_to_close_(io),
      connected_ns_(now_ns()),
      active_ns_(connected_ns_) {
  socket_.native_non_blocking(true);
}

Session::~Session() {
  host_.answers_budget().give(accounted_bytes_);
  close_received();  // no frame wanted them
}

// ---- The connection's life -------------------------------------------------------------------------

asio::awaitable<void> Session::run() {
  using namespace asio::experimental::awaitable_operators;
  try {
    co_await (read_requests() || write_answers() || until_peer_closed() || until_too_slow() || until_told_to_close());
  } catch (const std::exception& failure) {  // out of memory, for one client's sake: the others go on
    log_event(LogLevel::kError, "session_failed", {{"reason", std::string_view(failure.what())}});
  }
  drop(pending_);
  abandon_large();
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
    if (pending_.job && !co_await placed_pending()) continue;
    if (must_not_read()) {
      // nobody waits behind a job that does not take its place
      if (large_ && large_->pending.job) large_->pending.job->kind->pool->leave_line(*large_->pending.job);
      co_await relieved_.wait();
      continue;
    }
    const Step step = large_ ? continue_large() : handle_next_frame();
    account_answers();
    if (step == Step::kClose) co_return;
    if (step == Step::kNeedRoom) co_await room_for_large();
    if (step != Step::kNeedBytes) continue;

    const auto received = in_.receive(socket_.native_handle(), wanted_bytes_);
    if (!received) {
      close_received();
      (void)close_with(received.error());
      co_return;
    }
    charge_received(received->fds);
    if (received->status == ipc::IoStatus::kClosed) break;
    if (received->status == ipc::IoStatus::kWouldBlock || (!received->filled && in_.bytes().size() < wanted_bytes_)) {
      if (!in_.bytes().empty() || large_) pace_.wait(now_ns());
      co_await socket_.async_wait(Socket::wait_read, asio::redirect_error(asio::use_awaitable, failure));
      if (failure) co_return;
      active_ns_ = now_ns();
      pace_.resume(active_ns_);
    } else if (received->filled || large_) {
      co_await asio::post(asio::use_awaitable);  // a flood from one client; others have their turn
    }
  }
  abandon_large();
  // the client has nothing more to ask but may still be listening
  while (!jobs_.empty() || operations_ > 0) co_await relieved_.wait();
}

// The client has to take answers first.
bool Session::must_not_read() const {
  return jobs_.size() >= limits_.client_jobs_max || out_.bytes() >= kOutBytesMax || unread_.should_read() ||
         (host_.answers_budget().exceeded() && !out_.empty());
}

// Hands the pending job to its pool, or waits until something has changed there.
asio::awaitable<bool> Session::placed_pending() {
  if (host_.quarantine().must_identify(*pending_.job)) co_await host_.quarantine().identify(*pending_.job);
  if (place_pending()) co_return true;
  AsyncEvent& room = pending_.job->kind->pool->room();
  if (!pending_.share) {
    co_await room.wait();
    co_return false;
  }
  if (now_ns() >= pending_.give_up_ns) {
    give_up_pending();
    co_return true;
  }
  using namespace asio::experimental::awaitable_operators;
  asio::steady_timer patience(io_, std::chrono::nanoseconds(pending_.give_up_ns - now_ns()));
  co_await (room.wait() || patience.async_wait(asio::use_awaitable));
  co_return false;
}

// A large body is here, and its pool has no place for it: others need its share of receive_bytes_max. Who tries again
// waits without one.
void Session::give_up_pending() {
  const Job& job = *pending_.job;
  const Pool& pool = *job.kind->pool;
  send_error(job.request_id,
             {.code = ErrorCode::kBusy,
              .message = fmt::format("pool {} has had no place for this payload of {} bytes within {} ms; try again "
                                     "after {} ms (queue_timeout_ms)",
                                     pool.config().name, job.payload_bytes,
                                     (job.queue_expiry_ns - job.accepted_ns) / kNsPerMs, pool.retry_after_ms()),
              .job_id = job.id,
              .retry_after_ms = pool.retry_after_ms()});
  drop(pending_);
}

asio::awaitable<void> Session::write_answers() {
  boost::system::error_code failure;
  for (;;) {
    while (out_.empty()) co_await out_ready_.wait();
    if (taken_ns_ == 0) taken_ns_ = now_ns();
    const auto sent = out_.send(socket_.native_handle());
    if (!sent || *sent == ipc::IoStatus::kClosed) co_return;
    account_answers();
    relieved_.notify_all();
    if (streams_wait_) resume_streams();
    if (*sent == ipc::IoStatus::kWouldBlock) {
      co_await socket_.async_wait(Socket::wait_write, asio::redirect_error(asio::use_awaitable, failure));
      if (failure) co_return;
      taken_ns_ = active_ns_ = now_ns();
    } else if (out_.empty()) {
      taken_ns_ = 0;
    } else {
      taken_ns_ = active_ns_ = now_ns();
      co_await asio::post(asio::use_awaitable);  // others have their turn
    }
  }
}

void Session::account_answers() {
  const std::uint64_t held = out_.bytes();
  ByteBudget& budget = host_.answers_budget();
  if (held > accounted_bytes_) {
    budget.take(held - accounted_bytes_);
  } else {
    budget.give(accounted_bytes_ - held);
  }
  accounted_bytes_ = held;
  unread_.set({.descriptors = out_.memfds(), .unread_bytes = held + out_.memfd_bytes()});
}

// Those that came last, and belong to no frame yet.
void Session::charge_received(std::size_t fds) {
  if (fds == 0) return;
  const Holding fresh{.descriptors = fds};
  if (!received_.refusal(fresh)) return received_.add(fresh);
  for (unique_fd& fd : in_.newest_fds(fds)) host_.closer().close(std::move(fd), peer_.uid);
}

void Session::close_received() {
  for (unique_fd& fd : in_.take_fds(SIZE_MAX)) host_.closer().close(std::move(fd), peer_.uid);
  received_.set({});
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

std::optional<Error> Session::too_slow(std::int64_t now) const {
  const auto late = [now](std::int64_t since_ns, std::uint32_t limit_ms) {
    return since_ns != 0 && limit_ms != 0 && now - since_ns >= limit_ms * kNsPerMs;
  };
  const auto error = [](std::string_view what, std::uint32_t limit_ms, std::string_view setting) {
    return protocol_error(fmt::format("{} within {} ms (limits.{})", what, limit_ms, setting));
  };
  if (!greeted_ && late(connected_ns_, limits_.handshake_timeout_ms)) {
    return error("no hello came", limits_.handshake_timeout_ms, "handshake_timeout_ms");
  }
  switch (pace_.verdict(now, {limits_.frame_timeout_ms, limits_.frame_bytes_per_s_min})) {
    case FramePace::Verdict::kInTime: break;
    case FramePace::Verdict::kStalled:
      return error("the rest of a frame did not come", limits_.frame_timeout_ms, "frame_timeout_ms");
    case FramePace::Verdict::kTooSlow:
      return protocol_error(fmt::format("a frame came slower than {} bytes a second (limits.frame_bytes_per_s_min)",
                                        limits_.frame_bytes_per_s_min));
  }
  if (late(taken_ns_, limits_.write_timeout_ms)) {
    return error("no byte of an answer was taken", limits_.write_timeout_ms, "write_timeout_ms");
  }
  const bool idle = jobs_.empty() && out_.empty() && !pending_.job && !large_ && operations_ == 0;
  if (idle && late(active_ns_, limits_.idle_timeout_ms)) {
    return error("nothing was asked", limits_.idle_timeout_ms, "idle_timeout_ms");
  }
  return std::nullopt;
}

// Looks a few times in the shortest of the limits: late by a quarter at most, and no work a frame.
asio::awaitable<void> Session::until_too_slow() {
  asio::steady_timer timer(io_);
  for (;;) {
    std::uint32_t shortest = std::min(limits_.frame_timeout_ms, limits_.write_timeout_ms);
    if (!greeted_) shortest = std::min(shortest, limits_.handshake_timeout_ms);
    if (limits_.idle_timeout_ms != 0) shortest = std::min(shortest, limits_.idle_timeout_ms);
    timer.expires_after(std::chrono::milliseconds(shortest / 4 + 1));
    co_await timer.async_wait(asio::use_awaitable);
    if (const auto reason = too_slow(now_ns()); reason) {
      (void)close_with(*reason);
      co_return;
    }
  }
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
      } else {
        co_await asio::post(asio::use_awaitable);
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

}  // namespace quern::supervisor
