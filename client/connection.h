// Connection: the client's I/O thread and its one socket.
//
//     disconnected --first request--> connecting --welcome--> connected --broken--> disconnected
//
// Callers put requests into a mutex-guarded inbox and wake the thread once for many of them; everything
// else belongs to the thread. A broken connection answers all that was sent with kUnreachable.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/unordered/unordered_flat_map.hpp>
#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "client/client.h"

namespace quern::client {

class Client::Connection {
 public:
  explicit Connection(ClientOptions options);
  ~Connection();

  std::uint64_t submit(Job job, Handler handler);
  void cancel(std::uint64_t number);
  // A request whose answer is text (or a pong).
  void ask(wire::FrameType type, std::vector<std::byte> body, TextHandler handler);

 private:
  using Socket = boost::asio::local::stream_protocol::socket;
  using Clock = std::chrono::steady_clock;

  // What callers leave for the thread.
  struct Request {
    std::uint64_t number = 0;
    std::optional<Job> job{};
    Handler handler{};
    wire::FrameType type{};  // when there is no job
    std::vector<std::byte> body{};
    TextHandler text_handler{};
    bool cancel = false;
  };
  // What waits for its answer.
  struct Waiting {
    Handler handler{};
    TextHandler text_handler{};
    std::function<void(const wire::Progress&)> on_progress{};
    Clock::time_point expires = Clock::time_point::max();
    bool timed_out = false;
  };
  struct OutSegment {
    wire::Buffer bytes{};
    std::vector<std::shared_ptr<unique_fd>> keep{};
    std::vector<int> fds{};
    std::size_t sent = 0;
  };

  void post(Request request);
  void take_requests();
  void start(Request& request);
  void encode_job(std::uint64_t number, const Job& job);
  [[nodiscard]] wire::Buffer& out_buffer(std::vector<int> fds, std::vector<std::shared_ptr<unique_fd>> keep);
  void ensure_connected();
  [[nodiscard]] boost::asio::awaitable<void> connect();
  [[nodiscard]] boost::asio::awaitable<Result<void>> shake_hands();
  [[nodiscard]] boost::asio::awaitable<void> read_answers(std::uint64_t epoch);
  void flush();
  [[nodiscard]] boost::asio::awaitable<void> write_rest(std::uint64_t epoch);
  [[nodiscard]] Result<void> handle_frames();
  [[nodiscard]] Result<void> handle(const wire::FrameHeader& header, ipc::ByteSpan body);
  [[nodiscard]] Result<JobResult> read_result(const wire::FrameHeader& header, ipc::ByteSpan body);
  void finish(std::uint64_t number, Result<JobResult> job_result, Result<std::string> text);
  void fail(std::uint64_t number, const Error& error);
  void disconnect(const Error& why);
  void watch_time(Clock::time_point earliest);
  void expire();

  ClientOptions options_;
  boost::asio::io_context io_;
  Socket socket_;
  boost::asio::steady_timer timer_;
  Clock::time_point timer_at_ = Clock::time_point::max();

  std::mutex mutex_;
  std::vector<Request> inbox_;       // guarded by mutex_
  bool woken_ = false;               // guarded by mutex_: the thread was told of the inbox
  std::uint64_t next_number_ = 1;    // guarded by mutex_

  // the thread's own
  enum class State { kDisconnected, kConnecting, kConnected } state_ = State::kDisconnected;
  std::uint64_t epoch_ = 0;          // counts connections: coroutines of an old one end
  std::vector<Request> taken_;
  boost::unordered_flat_map<std::uint64_t, Waiting> waiting_;
  std::deque<OutSegment> out_;
  bool writing_ = false;             // write_rest is waiting for the socket
  std::vector<std::byte> in_;
  std::size_t in_begin_ = 0;
  std::size_t in_end_ = 0;
  std::vector<unique_fd> in_fds_;
  std::vector<wire::Part> parts_;
  std::optional<Error> going_away_;
  wire::Welcome welcome_{};
  std::thread thread_;
};

}  // namespace quern::client
