#include "client/client.h"

#include "client/connection.h"

namespace quern::client {

Client::Client(ClientOptions options) : connection_(std::make_unique<Connection>(std::move(options))) {}
Client::~Client() = default;

std::uint64_t Client::submit(Job job, Handler handler) { return connection_->submit(std::move(job), std::move(handler)); }

std::future<Result<JobResult>> Client::submit(Job job) {
  auto promise = std::make_shared<std::promise<Result<JobResult>>>();  // std::function wants to copy
  auto future = promise->get_future();
  submit(std::move(job), [promise](Result<JobResult> result) { promise->set_value(std::move(result)); });
  return future;
}

Result<JobResult> Client::run(Job job) { return submit(std::move(job)).get(); }

void Client::cancel(std::uint64_t job_number) { connection_->cancel(job_number); }

namespace {

// Waits for an answer in text. The promise is shared: std::function wants to copy.
template <class Ask>
Result<std::string> wait_for_text(Ask ask) {
  auto promise = std::make_shared<std::promise<Result<std::string>>>();
  auto future = promise->get_future();
  ask([promise](Result<std::string> text) { promise->set_value(std::move(text)); });
  return future.get();
}

}  // namespace

Result<void> Client::ping() {
  const auto pong = wait_for_text([&](TextHandler handler) {
    const auto hello = ipc::as_bytes("quern");
    connection_->ask(wire::FrameType::kPing, {hello.begin(), hello.end()}, std::move(handler));
  });
  if (!pong) return pong.error();
  return {};
}

Result<std::string> Client::kinds() {
  return wait_for_text([&](TextHandler handler) { connection_->ask(wire::FrameType::kKinds, {}, std::move(handler)); });
}

Result<std::string> Client::admin(wire::AdminOp op, std::string_view pool, std::uint32_t value) {
  if (pool.size() > 255) return Error{.code = ErrorCode::kInvalidArgument, .message = "a pool's name is shorter", .field = "pool"};
  std::vector<std::byte> body;
  wire::ByteWriter writer(body);
  wire::encode_admin(writer, {.op = op, .value = value, .pool = pool});
  return wait_for_text([&](TextHandler handler) { connection_->ask(wire::FrameType::kAdmin, std::move(body), std::move(handler)); });
}

}  // namespace quern::client
