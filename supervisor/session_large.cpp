// The part of Session that receives jobs too large for its buffer. The diagram is in body_stream.h.
#include <fmt/format.h>

#include <utility>

#include "common/clock.h"
#include "supervisor/pool.h"
#include "supervisor/session.h"

namespace quern::supervisor {

namespace asio = boost::asio;

// Of a frame that does not fit in_: `begun` is what is here of its body.
Session::Step Session::begin_large(const wire::FrameHeader& header, ipc::ByteSpan begun) {
  if (header.type != wire::FrameType::kSubmit) {
    return close_with({.code = ErrorCode::kProtocolError,
                       .message = fmt::format("a frame of type {} and {} bytes; only a SUBMIT may have more than {}",
                                              static_cast<unsigned>(header.type), header.body_bytes,
                                              InBuffer::kBytes - wire::kHeaderBytes)});
  }
  const auto head = wire::decode_submit_head(begun);
  if (head && !*head) {
    wanted_bytes_ = wire::kHeaderBytes + begun.size() + 1;
    return Step::kNeedBytes;
  }
  const Result<wire::Submit> submit = head ? Result<wire::Submit>(**head) : head.error();
  const std::size_t head_bytes = submit ? begun.size() - submit->job_body.size() : 0;
  const std::uint64_t body_bytes = header.body_bytes - head_bytes;
  auto job = begin_job(header, submit, body_bytes);
  if (!job) return close_with(job.error());
  // what is refused may be secret as well
  const bool secret = *job == nullptr || (*job)->kind->sensitive;
  large_.emplace(
      LargeSubmit{.pending = {.job = std::move(*job), .options = submit ? submit->options : wire::JobOptions{}},
                  .body = BodyStream(body_bytes),
                  .request_id = header.request_id,
                  .secret = secret});
  in_.consume(wire::kHeaderBytes + head_bytes, false);
  return Step::kHandled;
}

Session::Step Session::continue_large() {
  LargeSubmit& large = *large_;
  if (large.pending.job && !large.body.keeps()) return Step::kNeedRoom;
  const auto taken = large.body.take(in_.bytes());
  if (!taken) {
    refuse_large(taken.error());
    return Step::kHandled;
  }
  in_.consume(*taken, large.secret);
  pace_.came(*taken);
  wanted_bytes_ = 1;
  if (large.body.missing() > 0) return Step::kNeedBytes;
  pace_.reset();
  if (large.pending.job) finish_large();
  large_.reset();
  return Step::kHandled;
}

// Until the job may be received, as far as that can be known without its body. Returns when something has changed.
asio::awaitable<void> Session::room_for_large() {
  Pending& pending = large_->pending;
  Pool& pool = *pending.job->kind->pool;
  const auto admitted = pool.admission(*pending.job, pending.options);
  if (!admitted) {
    refuse_large(admitted.error());
  } else if (*admitted == Pool::Admission::kFull) {
    co_await pool.room().wait();
  } else {
    pending.share = co_await host_.receive_budget().reserve(large_->body.bytes());
    if (const auto kept = large_->body.keep(); !kept) refuse_large(kept.error());
  }
}

void Session::refuse_large(Error reason) {
  reason.job_id = large_->pending.job->id;
  send_error(large_->request_id, reason);
  drop(large_->pending);
  host_.closer().close(large_->body.discard());
  large_->secret = true;
}

// The rest of it does not come any more.
void Session::abandon_large() {
  if (!large_) return;
  drop(large_->pending);
  host_.closer().close(large_->body.discard());
  large_.reset();
}

// The body is whole.
void Session::finish_large() {
  auto sealed = large_->body.finish();
  if (!sealed) return refuse_large(sealed.error());
  Job& job = *large_->pending.job;
  job.body_fd = std::move(*sealed);
  job.body_fd_bytes = large_->body.bytes();
  // as long as it may wait for a worker, it may wait for a place where it can
  large_->pending.give_up_ns = now_ns() + job.queue_expiry_ns - job.accepted_ns;
  hand_over(std::move(large_->pending));
}

}  // namespace quern::supervisor
