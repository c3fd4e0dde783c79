// Connection: the client's I/O thread and its one socket.
//
//     disconnected --request--> connecting --welcome--> connected --broken--> disconnected
//                                   |                       |
//                                   +--no server: answered--+--> unreachable
//                                                           +--GOING_AWAY--> leaving --closed--> disconnected
//
// A request's way: inbox (any thread, guarded by a mutex, the thread is woken once for many) -> waiting_
// and backlog_ -> written when there is a connection and the server has room for it -> its answer, which
// removes it from waiting_ and calls its handler. That is the only place where handlers of sent requests
// are found, so none is called twice and none is forgotten: whatever ends the connection answers all.
//
// At most jobs_max jobs (the server's word) are written and unanswered. So the server never stops
// reading because of us, a CANCEL is never stuck behind a SUBMIT that waits for a place in line, and a
// job that still waits here is cancelled without asking anyone.
#pragma once

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/unordered/unordered_flat_map.hpp>
#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <variant>
#include <vector>

#include "client/client.h"
#include "client/incoming.h"
#include "client/outgoing.h"

namespace quern::client {

class Client::Connection {
 public:
  explicit Connection(ClientOptions options);
  ~Connection();

  // ---- Any thread

  [[nodiscard]] std::uint64_t reserve_number() noexcept { return next_number_.fetch_add(1, std::memory_order_relaxed); }
  void submit(std::uint64_t number, Job job, Handler handler);
  void cancel(std::uint64_t number);
  // A request whose answer is no job's.
  void ask(Question question, std::chrono::milliseconds timeout, ReplyHandler handler);
  void release(std::uint64_t shared_buffer);
  [[nodiscard]] ClientStats stats() const noexcept {
    return {jobs_.load(std::memory_order_relaxed), copied_bytes_.load(std::memory_order_relaxed)};
  }
  [[nodiscard]] bool on_its_thread() const noexcept { return std::this_thread::get_id() == thread_.get_id(); }

 private:
  using Socket = boost::asio::local::stream_protocol::socket;
  using Clock = std::chrono::steady_clock;
  using AnyHandler = std::variant<Handler, ReplyHandler>;

  struct Cancel {};
  struct Release {
    std::uint64_t shared_buffer = 0;
  };
  using Anything = std::variant<Job, Question, Cancel, Release>;
  // What callers leave for the thread.
  struct Request {
    std::uint64_t number = 0;
    Anything what{};
    AnyHandler handler{};
    std::chrono::milliseconds timeout{0};
  };
  // What has no answer yet. A sent job stays here after its own time limit passed, without a handler:
  // the server has it until it answers.
  struct Waiting {
    AnyHandler handler{};
    std::function<void(const wire::Progress&)> on_progress{};
    std::function<void(std::span<const std::byte>)> on_bytes{};
    Clock::time_point expires = Clock::time_point::max();
    bool is_job = false;
    bool sent = false;
  };
  struct Unsent {
    std::uint64_t number = 0;
    Anything what{};
  };

  void post(Request request);

  // connection.cpp: requests and answers
  void take_requests();
  void admit(Request& request);
  void cancel_now(std::uint64_t number);
  void send_backlog();
  void write(std::uint64_t number, Waiting& waiting, const Anything& what);
  void release_now(std::uint64_t shared_buffer);
  void answer(std::uint64_t number, const Error& error);
  void answer_all(const Error& error);
  void watch_time(Clock::time_point earliest);
  void expire();

  // connection_io.cpp: the socket
  [[nodiscard]] boost::asio::awaitable<void> connect(std::uint64_t epoch);
  [[nodiscard]] boost::asio::awaitable<Result<void>> try_to_connect(Clock::time_point deadline);
  [[nodiscard]] boost::asio::awaitable<Result<void>> open_socket(Clock::time_point deadline);
  [[nodiscard]] boost::asio::awaitable<Result<void>> shake_hands();
  [[nodiscard]] boost::asio::awaitable<void> read_answers(std::uint64_t epoch);
  [[nodiscard]] boost::asio::awaitable<void> write_rest(std::uint64_t epoch);
  [[nodiscard]] boost::asio::awaitable<void> pause_until(Clock::time_point until);
  [[nodiscard]] Result<void> handle_frames();
  [[nodiscard]] Result<void> handle(Incoming::Frame& frame);
  [[nodiscard]] Result<void> handle_answer(Incoming::Frame& frame);
  void flush();
  void disconnect(const Error& why);

  ClientOptions options_;
  boost::asio::io_context io_;
  Socket socket_;
  boost::asio::steady_timer timer_;
  Clock::time_point timer_at_ = Clock::time_point::max();
  std::atomic<std::uint64_t> next_number_ = 1;
  std::atomic<std::uint64_t> jobs_ = 0;          // sent
  std::atomic<std::uint64_t> copied_bytes_ = 0;  // of their parts

  std::mutex mutex_;
  std::vector<Request> inbox_;  // guarded by mutex_
  bool woken_ = false;          // guarded by mutex_: the thread knows of the inbox
  bool closed_ = false;         // guarded by mutex_: nobody will look into the inbox again

  // the thread's own
  enum class State { kDisconnected, kConnecting, kConnected, kLeaving } state_ = State::kDisconnected;
  std::uint64_t epoch_ = 0;  // counts connections: coroutines of an old one end
  std::vector<Request> taken_;
  boost::unordered_flat_map<std::uint64_t, Waiting> waiting_;
  std::deque<Unsent> backlog_;
  std::uint32_t jobs_in_flight_ = 0;  // sent and unanswered
  Outgoing out_;
  bool writing_ = false;  // write_rest waits for the socket
  Incoming in_;
  std::vector<wire::Part> parts_;
  Error going_away_{};  // kLeaving: the server's reason
  std::uint32_t jobs_max_ = 0;
  std::uint32_t frame_bytes_max_ = 0;
  std::thread thread_;
};

}  // namespace quern::client
