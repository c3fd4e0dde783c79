#include "supervisor/own_job.h"

#include <optional>
#include <utility>

#include "supervisor/async_event.h"
#include "supervisor/pool.h"

namespace quern::supervisor {
namespace {

class Waiter final : public JobClient {
 public:
  explicit Waiter(boost::asio::io_context& io) : answered_(io) {}
  void on_result(Job& /*job*/, const wire::ResultInfo& info, const ResultParts& /*result*/) override { settle(info); }
  void on_error(Job& /*job*/, Error error) override { settle(std::move(error)); }
  void on_progress(Job& /*job*/, const wire::Progress& /*progress*/) override {}
  [[nodiscard]] std::size_t stream_room(const Job& /*job*/) override { return SIZE_MAX; }
  void on_stream(Job& /*job*/, ipc::ByteSpan /*first*/, ipc::ByteSpan /*second*/) override {}

  boost::asio::awaitable<Result<wire::ResultInfo>> answer() {
    while (!outcome_) co_await answered_.wait();
    co_return std::move(*outcome_);
  }

 private:
  void settle(Result<wire::ResultInfo> outcome) {
    outcome_.emplace(std::move(outcome));
    answered_.notify_all();
  }
  AsyncEvent answered_;
  std::optional<Result<wire::ResultInfo>> outcome_;
};

}  // namespace

boost::asio::awaitable<Result<wire::ResultInfo>> run_own_job(boost::asio::io_context& io, JobStore& store, OwnJob own) {
  Waiter waiter(io);
  auto job = store.acquire();
  job->kind = own.kind;
  job->client = &waiter;
  job->client_id = kOwnClientId;
  if (own.body_fd) {
    job->body_fd = std::move(own.body_fd);
    job->body_fd_bytes = own.body_fd_bytes;
  } else if (own.body.empty()) {
    wire::ByteWriter body(job->body);
    wire::encode_job_body(body, "", {});
  } else {
    job->body = std::move(own.body);
  }
  job->fds = std::move(own.fds);
  job->payload_bytes = own.payload_bytes + job->body_bytes();
  const auto admitted = own.kind->pool->submit(job, own.options);
  if (!admitted) {
    store.release(std::move(job));
    co_return admitted.error();
  }
  co_return co_await waiter.answer();
}

}  // namespace quern::supervisor
