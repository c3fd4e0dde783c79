#include "client/connection.h"

#include <fmt/format.h>
#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <utility>

#include "client/job_frame.h"
#include "common/paths.h"

namespace quern::client {

namespace asio = boost::asio;

namespace {

Error cancelled(std::string_view message) {
  return Error{
      .code = ErrorCode::kCancelled, .message = std::string(message), .cause = {CauseKind::kCancelledByClient, 0}};
}

Error destroyed() { return cancelled("the client was destroyed before the answer came"); }

template <class AnyHandler, class Outcome>
void call(AnyHandler& handler, const Outcome& outcome) {
  std::visit(
      [&](auto& function) {
        if (function) function(outcome);
      },
      handler);
}

// A thread that takes no signals: they are the application's.
template <class Run>
std::thread thread_without_signals(Run run) {
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  std::thread thread(std::move(run));
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return thread;
}

}  // namespace

Client::Connection::Connection(ClientOptions options)
    : options_(std::move(options)), io_(1), socket_(io_), timer_(io_) {
  if (options_.socket_path.empty())
    options_.socket_path = fmt::format("{}/{}", default_runtime_dir(), kClientSocketName);
  thread_ = thread_without_signals([this] {
    const auto work = asio::make_work_guard(io_);
    io_.run();
  });
}

Client::Connection::~Connection() {
  asio::post(io_, [this] {
    std::vector<Request> left;
    {
      const std::lock_guard lock(mutex_);
      closed_ = true;
      left.swap(inbox_);
    }
    disconnect(destroyed());
    for (Request& request : left) call(request.handler, destroyed());
    io_.stop();
  });
  thread_.join();
}

// ---- Callers' side -----------------------------------------------------------------------------------

void Client::Connection::post(Request request) {
  bool wake = false;
  {
    const std::lock_guard lock(mutex_);
    if (!closed_) {
      inbox_.push_back(std::move(request));
      wake = !std::exchange(woken_, true);
      request.handler = {};
    }
  }
  call(request.handler, destroyed());  // only a handler that the destructor called can get here
  if (wake) asio::post(io_, [this] { take_requests(); });
}

void Client::Connection::submit(std::uint64_t number, Job job, Handler handler) {
  const auto timeout = job.timeout;
  post(Request{.number = number, .what = std::move(job), .handler = std::move(handler), .timeout = timeout});
}

void Client::Connection::cancel(std::uint64_t number) { post(Request{.number = number, .what = Cancel{}}); }

void Client::Connection::ask(Question question, std::chrono::milliseconds timeout, ReplyHandler handler) {
  post(Request{
      .number = reserve_number(), .what = std::move(question), .handler = std::move(handler), .timeout = timeout});
}

void Client::Connection::release(std::uint64_t shared_buffer) { post(Request{.what = Release{shared_buffer}}); }

// ---- Requests, on the thread -------------------------------------------------------------------------

void Client::Connection::take_requests() {
  {
    const std::lock_guard lock(mutex_);
    std::swap(inbox_, taken_);
    woken_ = false;
  }
  for (Request& request : taken_) admit(request);
  taken_.clear();
  switch (state_) {
    case State::kConnecting: break;
    case State::kConnected: send_backlog(); break;
    case State::kLeaving: flush(); break;
    case State::kDisconnected:
      if (backlog_.empty()) break;
      state_ = State::kConnecting;
      asio::co_spawn(io_, connect(++epoch_), asio::detached);
  }
}

void Client::Connection::admit(Request& request) {
  if (std::holds_alternative<Cancel>(request.what)) return cancel_now(request.number);
  if (const Release* release = std::get_if<Release>(&request.what); release != nullptr) {
    return release_now(release->shared_buffer);
  }
  if (state_ == State::kLeaving) return call(request.handler, going_away_);
  Waiting waiting{.handler = std::move(request.handler)};
  if (Job* job = std::get_if<Job>(&request.what); job != nullptr) {
    waiting.is_job = true;
    waiting.on_progress = job->on_progress;
    waiting.on_bytes = job->on_bytes;
  }
  if (request.timeout.count() > 0) {
    waiting.expires = Clock::now() + request.timeout;
    watch_time(waiting.expires);
  }
  const auto at = waiting_.emplace(request.number, std::move(waiting)).first;
  const bool may_go = backlog_.empty() && jobs_in_flight_ < jobs_max_;
  if (state_ == State::kConnected && (may_go || !at->second.is_job)) {
    write(request.number, at->second, request.what);
  } else {
    backlog_.push_back({request.number, std::move(request.what)});
  }
}

void Client::Connection::cancel_now(std::uint64_t number) {
  const auto at = waiting_.find(number);
  if (at == waiting_.end()) return;
  if (!at->second.sent) return answer(number, cancelled("the job was cancelled before it was sent"));
  wire::FrameBuilder(out_.frame(), wire::FrameType::kCancel, number).finish();
}

// Requires: connected.
void Client::Connection::send_backlog() {
  while (!backlog_.empty()) {
    Unsent& next = backlog_.front();
    const auto at = waiting_.find(next.number);
    if (at != waiting_.end()) {  // else it was cancelled, or its time passed
      if (at->second.is_job && jobs_in_flight_ >= jobs_max_) break;
      write(next.number, at->second, next.what);
    }
    backlog_.pop_front();
  }
  flush();
}

// A connection that broke has released everything.
void Client::Connection::release_now(std::uint64_t shared_buffer) {
  if (state_ != State::kConnected && state_ != State::kLeaving) return;
  wire::FrameBuilder frame(out_.frame(), wire::FrameType::kBuffer, reserve_number());
  wire::encode_buffer_request(frame.body(), {.op = wire::BufferOp::kRelease, .id = shared_buffer});
  frame.finish();
}

void Client::Connection::write(std::uint64_t number, Waiting& waiting, const Anything& what) {
  if (const Job* job = std::get_if<Job>(&what); job != nullptr) {
    if (auto written = append_submit(out_, number, *job, frame_bytes_max_); !written)
      return answer(number, written.error());
    ++jobs_in_flight_;
    jobs_.fetch_add(1, std::memory_order_relaxed);
    std::uint64_t copied_bytes = 0;
    for (const Part& part : job->parts) copied_bytes += part.copied_bytes();
    copied_bytes_.fetch_add(copied_bytes, std::memory_order_relaxed);
  } else {
    const Question& question = std::get<Question>(what);
    const auto fd_count = static_cast<std::uint16_t>(question.fds.size());
    wire::FrameBuilder frame(out_.frame(question.fds), question.type, number, fd_count);
    frame.body().bytes(question.body);
    frame.finish();
  }
  waiting.sent = true;
}

// ---- Answers -----------------------------------------------------------------------------------------

void Client::Connection::answer(std::uint64_t number, const Error& error) {
  const auto at = waiting_.find(number);
  if (at == waiting_.end()) return;
  Waiting ended = std::move(at->second);
  waiting_.erase(at);
  if (ended.is_job && ended.sent) --jobs_in_flight_;
  call(ended.handler, error);
}

void Client::Connection::answer_all(const Error& error) {
  auto orphans = std::exchange(waiting_, {});
  backlog_.clear();
  jobs_in_flight_ = 0;
  for (auto& [number, waiting] : orphans) call(waiting.handler, error);
}

// ---- Time --------------------------------------------------------------------------------------------

void Client::Connection::watch_time(Clock::time_point earliest) {
  if (earliest >= timer_at_) return;
  timer_at_ = earliest;
  timer_.expires_at(earliest);
  timer_.async_wait([this](boost::system::error_code aborted) {
    if (!aborted) expire();
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
  const Error error{.code = ErrorCode::kTimeout,
                    .message = "no answer came within the client's own time limit",
                    .cause = {CauseKind::kDeadline, 0}};
  for (const std::uint64_t number : late) {
    Waiting& waiting = waiting_.at(number);
    if (!waiting.sent) {
      answer(number, error);
      continue;
    }
    if (waiting.is_job) cancel_now(number);
    waiting.expires = Clock::time_point::max();
    waiting.on_progress = {};
    waiting.on_bytes = {};
    auto handler = std::exchange(waiting.handler, {});
    call(handler, error);
  }
  flush();
  watch_time(next);
}

}  // namespace quern::client
