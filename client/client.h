// The C++ client library: run jobs on the local Quern server.
//
//     quern::client::Client client;
//     auto result = client.run({.kind = "image.resize",
//                               .params_json = R"({"width":320,"format":"webp"})",
//                               .parts = {Part::copy(photo)}});
//     if (result) save(result->parts[0].bytes());
//     else        complain(to_string(result.error()));
//
// One Client is one multiplexed connection with a thread of its own. It connects on first use, and
// again after it broke.
//
// Every submitted job gets exactly one outcome: the server's answer, or
// - kUnreachable when there is no server, or the connection broke first. Then the job may have run: it
//   is never sent again behind your back;
// - kTimeout when the job's own `timeout` passed (the server is told to stop it);
// - kCancelled when it was cancelled, or the client destroyed;
// - kShuttingDown when the server is going away, with the server's retry advice.
// A job that cannot be sent as it is (too large, a wrong part) fails with kInvalidArgument or kTooLarge
// before it costs anyone anything. Nothing here throws but for memory, and run() on the client's own thread.
//
// Thread-safety: all functions may be called from any thread. Completion and progress handlers run on
// the client's thread: they must not block, throw, or destroy the client; they may submit and cancel. The
// destructor answers what is left with kCancelled, and then joins the thread. It must not run while another
// thread still calls a function of the same client.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/prefer.hpp>
#include <boost/asio/system_executor.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <future>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "client/payload.h"
#include "client/shared_buffer.h"
#include "common/error.h"
#include "ipc/wire.h"

namespace quern::client {

// What to run. The server's `quern kinds` says which kinds there are, with their parameters.
struct Job {
  std::string kind;
  std::string params_json{};  // a JSON object, or empty
  std::vector<Part> parts{};
  wire::JobOptions options{};
  std::function<void(const wire::Progress&)> on_progress{};  // asks for progress when set
  // Asks for the first part of the result as it is made, in pieces of any size. The part then comes back with no bytes
  // but their number. What came of a job that fails in the middle is incomplete; a job of which something came is
  // not tried again when its worker dies. This is the one handler that may block, and then all of this client
  // waits: the job for the reader, and whoever else uses the connection. A slow reader has a client of its own.
  std::function<void(std::span<const std::byte>)> on_bytes{};
  // A regular file open for writing, not for appending: the result's first part is written into it by the worker,
  // from its beginning, and the file is cut to its length. The part then comes back with no bytes but their number.
  // When the job fails the file may hold anything. Shared, because a Job can be copied.
  std::shared_ptr<unique_fd> output_file{};
  // From submit to outcome, on this side; the job is cancelled when it passes. 0: none.
  std::chrono::milliseconds timeout{0};
};

struct JobResult {
  std::vector<ResultPart> parts;
  wire::ResultInfo info;
};

struct ClientOptions {
  std::string socket_path{};                        // empty: the default runtime directory's quern.sock
  std::string name{};                               // shown to operators, at most 63 bytes
  std::chrono::milliseconds connect_timeout{5000};  // for one connection, its handshake included
  // How long requests wait for a server that is not there, or full: one that is being restarted. It is
  // tried again after 1, 2, 4 ... 100 ms. 0: the first failure is the answer.
  std::chrono::milliseconds reconnect_for{0};
};

// What this client has sent so far.
struct ClientStats {
  std::uint64_t jobs = 0;
  std::uint64_t copied_bytes = 0;  // of their parts, to get them into frames and sealed memfds; see payload.h
};

class PendingJob;

class Client {
 public:
  using Handler = std::function<void(Result<JobResult>)>;

  explicit Client(ClientOptions options = {});
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  ~Client();

  // ---- Jobs

  // The call that the others are made of, and the cheapest. Returns the job's number on this client,
  // for cancel().
  std::uint64_t submit(Job job, Handler handler);
  // A future that can also be cancelled.
  [[nodiscard]] PendingJob submit(Job job);
  // Blocks until the outcome.
  [[nodiscard]] Result<JobResult> run(Job job);
  // Asks the server to stop the job; its outcome is still delivered, usually kCancelled. A number that
  // has its outcome already is ignored.
  void cancel(std::uint64_t job_number);

  // For Asio: `co_await client.async_run(job, asio::use_awaitable)`. Completes with Result<JobResult> on
  // the token's executor; cancelling the operation, in any way, cancels the job. The client must outlive
  // the operation.
  template <class CompletionToken>
  auto async_run(Job job, CompletionToken&& token) {
    return boost::asio::async_initiate<CompletionToken, void(Result<JobResult>)>(
        [this](auto handler, Job initiated) { this->start(std::move(handler), std::move(initiated)); }, token,
        std::move(job));
  }

  [[nodiscard]] ClientStats stats() const noexcept;

  // ---- Shared buffers: shared_buffer.h. The client must outlive them.

  [[nodiscard]] Result<SharedBuffer> create_shared(const SharedBufferOptions& options);
  // One that another connection has created under this name. kNotFound: there is none for us.
  [[nodiscard]] Result<SharedBuffer> attach_shared(std::string_view name);

  // ---- The server. A timeout of 0 is none.

  // A round trip to the server's loop.
  [[nodiscard]] Result<void> ping(std::chrono::milliseconds timeout = std::chrono::seconds(5));
  // The JSON document of all kinds.
  [[nodiscard]] Result<std::string> kinds(std::chrono::milliseconds timeout = std::chrono::seconds(30));
  // An operator's request; the client must be connected to admin.sock. kRestart takes as long as the
  // running jobs do.
  [[nodiscard]] Result<std::string> admin(wire::AdminOp op, std::string_view pool = {}, std::uint64_t value = 0,
                                          std::chrono::milliseconds timeout = std::chrono::milliseconds(0));

 private:
  friend SharedBuffer;
  class Connection;
  // What answers a question: text, or a small binary body with descriptors.
  struct Reply {
    std::string body{};
    std::vector<unique_fd> fds{};
  };
  using ReplyHandler = std::function<void(Result<Reply>)>;
  struct Question {
    wire::FrameType type{};
    std::vector<std::byte> body{};
    std::vector<std::shared_ptr<unique_fd>> fds{};
  };

  [[nodiscard]] std::uint64_t reserve_number() noexcept;
  void submit_as(std::uint64_t number, Job job, Handler handler);
  [[nodiscard]] Result<Reply> ask(Question question, std::chrono::milliseconds timeout);
  [[nodiscard]] Result<std::string> ask_text(Question question, std::chrono::milliseconds timeout);
  void release_shared(std::uint64_t id);
  void refuse_to_block_the_thread() const;

  template <class AsioHandler>
  void start(AsioHandler handler, Job job);

  std::unique_ptr<Connection> connection_;
};

// What submit(job) returns: std::future, and cancel(). The client must outlive calls of cancel().
class PendingJob : public std::future<Result<JobResult>> {
 public:
  PendingJob(std::future<Result<JobResult>> outcome, Client& client, std::uint64_t number)
      : std::future<Result<JobResult>>(std::move(outcome)), client_(&client), number_(number) {}
  void cancel() { client_->cancel(number_); }

 private:
  Client* client_;
  std::uint64_t number_;
};

// An Asio operation: while it lasts, its executor has work; its cancellation slot is ours until it
// completes. The slot is only touched on that executor, as Asio asks.
template <class AsioHandler>
void Client::start(AsioHandler handler, Job job) {
  namespace asio = boost::asio;
  struct Operation {
    AsioHandler handler;
    asio::any_io_executor executor;
  };
  auto slot = asio::get_associated_cancellation_slot(handler);
  const asio::any_io_executor executor = asio::get_associated_executor(handler, asio::system_executor());
  auto operation = std::make_shared<Operation>(  // shared, because std::function wants to copy
      Operation{std::move(handler), asio::prefer(executor, asio::execution::outstanding_work.tracked)});
  const std::uint64_t number = reserve_number();
  if (slot.is_connected()) {
    slot.assign([this, number](asio::cancellation_type) { cancel(number); });
  }
  submit_as(number, std::move(job), [operation, slot](Result<JobResult> result) {
    asio::post(operation->executor, [operation, slot, result = std::move(result)]() mutable {
      if (slot.is_connected()) slot.clear();
      auto completion = std::move(operation->handler);
      operation.reset();
      std::move(completion)(std::move(result));
    });
  });
}

}  // namespace quern::client
