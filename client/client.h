// The C++ client library: run jobs on the local Quern server.
//
//     quern::client::Client client;
//     auto result = client.run({.kind = "image.resize",
//                               .params_json = R"({"width":320,"format":"webp"})",
//                               .parts = {Part::copy(photo)}});
//     if (result) save(result->parts[0].bytes());
//     else        complain(to_string(result.error()));
//
// One Client is one multiplexed connection with a thread of its own. It connects on first use,
// and again after it broke. Every submitted job gets exactly one outcome: the server's answer, or
// kUnreachable when there is no server or the connection broke first (the job may have run: it is
// never sent again behind your back), or kTimeout when your own time limit passed.
//
// Thread-safety: all functions may be called from any thread. Completion handlers run on the client's
// thread and must not block; the destructor answers what is left with kCancelled and joins the thread.
#pragma once

#include <boost/asio/async_result.hpp>
#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/post.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "client/payload.h"
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
  // From submit to outcome, on this side; the job is cancelled when it passes. 0: none.
  std::chrono::milliseconds timeout{0};
};

struct JobResult {
  std::vector<ResultPart> parts;
  wire::ResultInfo info;
};

struct ClientOptions {
  std::string socket_path{};              // empty: the default runtime directory's quern.sock
  std::string name{};                     // shown to operators
  std::chrono::milliseconds connect_timeout{5000};
};

class Client {
 public:
  using Handler = std::function<void(Result<JobResult>)>;
  using TextHandler = std::function<void(Result<std::string>)>;

  explicit Client(ClientOptions options = {});
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  ~Client();

  // ---- Jobs

  // The call the others are made of. Returns the job's number on this client, for cancel().
  std::uint64_t submit(Job job, Handler handler);
  // Blocks. Never call it from a completion handler.
  [[nodiscard]] Result<JobResult> run(Job job);
  [[nodiscard]] std::future<Result<JobResult>> submit(Job job);
  // Asks the server to stop the job; its outcome is still delivered, usually kCancelled. A number that
  // has its outcome already is ignored.
  void cancel(std::uint64_t job_number);

  // For Asio: `co_await client.async_run(job, asio::use_awaitable)`. Completes on the token's
  // executor with Result<JobResult>; cancelling the operation cancels the job.
  template <class CompletionToken>
  auto async_run(Job job, CompletionToken&& token) {
    return boost::asio::async_initiate<CompletionToken, void(Result<JobResult>)>(
        [this](auto handler, Job initiated) { start(std::move(handler), std::move(initiated)); }, token, std::move(job));
  }

  // ---- The server

  // A round trip to the server.
  [[nodiscard]] Result<void> ping();
  // The JSON document of all kinds.
  [[nodiscard]] Result<std::string> kinds();
  // An operator's request; the client must be connected to admin.sock.
  [[nodiscard]] Result<std::string> admin(wire::AdminOp op, std::string_view pool = {}, std::uint32_t value = 0);

 private:
  class Connection;

  template <class AsioHandler>
  void start(AsioHandler handler, Job job) {
    // shared, because std::function wants to copy
    auto shared = std::make_shared<AsioHandler>(std::move(handler));
    auto slot = boost::asio::get_associated_cancellation_slot(*shared);
    const std::uint64_t number = submit(std::move(job), [shared](Result<JobResult> result) {
      const auto executor = boost::asio::get_associated_executor(*shared, boost::asio::system_executor());
      boost::asio::post(executor, [shared, result = std::move(result)]() mutable { std::move (*shared)(std::move(result)); });
    });
    if (slot.is_connected()) {
      slot.assign([this, number](boost::asio::cancellation_type) { cancel(number); });
    }
  }

  std::unique_ptr<Connection> connection_;
};

}  // namespace quern::client
