#include "client/client.h"

#include <stdexcept>

#include "client/connection.h"

namespace quern::client {

Client::Client(ClientOptions options) : connection_(std::make_unique<Connection>(std::move(options))) {}
Client::~Client() = default;

// ---- Jobs --------------------------------------------------------------------------------------------

std::uint64_t Client::reserve_number() noexcept { return connection_->reserve_number(); }

void Client::submit_as(std::uint64_t number, Job job, Handler handler) {
  connection_->submit(number, std::move(job), std::move(handler));
}

std::uint64_t Client::submit(Job job, Handler handler) {
  const std::uint64_t number = reserve_number();
  submit_as(number, std::move(job), std::move(handler));
  return number;
}

PendingJob Client::submit(Job job) {
  auto promise = std::make_shared<std::promise<Result<JobResult>>>();  // std::function wants to copy
  auto future = promise->get_future();
  const std::uint64_t number =
      submit(std::move(job), [promise](Result<JobResult> result) { promise->set_value(std::move(result)); });
  return {std::move(future), *this, number};
}

Result<JobResult> Client::run(Job job) {
  refuse_to_block_the_thread();
  return submit(std::move(job)).get();
}

void Client::cancel(std::uint64_t job_number) { connection_->cancel(job_number); }

ClientStats Client::stats() const noexcept { return connection_->stats(); }

// ---- The server --------------------------------------------------------------------------------------

void Client::refuse_to_block_the_thread() const {
  if (connection_->on_its_thread()) {
    throw std::logic_error(
        "a completion handler must not wait for an answer: the thread it runs on is the one that brings it");
  }
}

Result<Client::Reply> Client::ask(Question question, std::chrono::milliseconds timeout) {
  refuse_to_block_the_thread();
  auto promise = std::make_shared<std::promise<Result<Reply>>>();  // std::function wants to copy
  auto future = promise->get_future();
  connection_->ask(std::move(question), timeout,
                   [promise](Result<Reply> reply) { promise->set_value(std::move(reply)); });
  return future.get();
}

Result<std::string> Client::ask_text(Question question, std::chrono::milliseconds timeout) {
  auto reply = ask(std::move(question), timeout);
  if (!reply) return reply.error();
  return std::move(reply->body);
}

Result<void> Client::ping(std::chrono::milliseconds timeout) {
  const auto pong = ask_text({.type = wire::FrameType::kPing}, timeout);
  return pong ? Result<void>() : Result<void>(pong.error());
}

Result<std::string> Client::kinds(std::chrono::milliseconds timeout) {
  return ask_text({.type = wire::FrameType::kKinds}, timeout);
}

Result<std::string> Client::admin(wire::AdminOp op, std::string_view pool, std::uint64_t value,
                                  std::chrono::milliseconds timeout) {
  if (pool.size() > 255) {
    return Error{
        .code = ErrorCode::kInvalidArgument, .message = "a pool's name has at most 255 bytes", .field = "pool"};
  }
  std::vector<std::byte> body;
  wire::ByteWriter writer(body);
  wire::encode_admin(writer, {.op = op, .value = value, .pool = pool});
  return ask_text({.type = wire::FrameType::kAdmin, .body = std::move(body)}, timeout);
}

}  // namespace quern::client
