// The half of Session that understands requests.
#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <utility>

#include "ipc/memfd.h"
#include "supervisor/pool.h"
#include "supervisor/session.h"

namespace quern::supervisor {

namespace asio = boost::asio;

namespace {

Error protocol_error(std::string message) {
  return Error{.code = ErrorCode::kProtocolError, .message = std::move(message)};
}

Error too_large(std::uint64_t payload_bytes_max) {
  return Error{
      .code = ErrorCode::kTooLarge,
      .message = fmt::format("the job's payload exceeds {} bytes (limits.payload_bytes_max)", payload_bytes_max)};
}

Error no_such_kind(std::string_view name) {
  const bool printable = std::ranges::all_of(name, [](char c) { return c > ' ' && c < 127; });
  return Error{
      .code = ErrorCode::kInvalidArgument,
      .message = fmt::format("this server has no kind '{}'; `quern kinds` lists what it has", printable ? name : "?"),
      .field = "kind"};
}

Error one_way_only() {
  return Error{.code = ErrorCode::kInvalidArgument,
               .message = "a result is either written to a file or streamed; leave out one of output_file and stream",
               .field = "stream"};
}

}  // namespace

Session::Step Session::close_with(const Error& error) {
  wire::FrameBuilder frame(out_.frame(512 + error.message.size()), wire::FrameType::kGoingAway, 0);
  wire::encode_error(frame.body(), error);
  frame.finish();
  return Step::kClose;
}

Session::Step Session::handle_next_frame() {
  const ipc::ByteSpan bytes = in_.bytes();
  wanted_bytes_ = wire::kHeaderBytes;
  if (bytes.size() < wire::kHeaderBytes) return Step::kNeedBytes;
  const wire::FrameHeader header = wire::decode_header(bytes);
  const std::uint32_t bytes_max =
      greeted_ ? static_cast<std::uint32_t>(limits_.frame_bytes_max) : wire::kHandshakeBodyBytesMax;
  if (header.body_bytes > bytes_max) {
    return close_with(
        protocol_error(fmt::format("a frame of {} bytes; at most {} are allowed here (send large parts as "
                                   "sealed memfds)",
                                   header.body_bytes, bytes_max)));
  }
  if (header.fd_count > wire::kFrameFdsMax) {
    return close_with(protocol_error(
        fmt::format("{} descriptors in a frame; at most {} are allowed", header.fd_count, wire::kFrameFdsMax)));
  }
  const std::size_t frame_bytes = wire::kHeaderBytes + header.body_bytes;
  if (frame_bytes > InBuffer::kBytes) return begin_large(header, bytes.subspan(wire::kHeaderBytes));
  wanted_bytes_ = frame_bytes;
  if (bytes.size() < frame_bytes) return Step::kNeedBytes;
  consumed_secret_ = false;
  const auto handled = handle(header, bytes.subspan(wire::kHeaderBytes, header.body_bytes));
  in_.consume(frame_bytes, consumed_secret_);
  pace_.reset();
  return handled ? Step::kHandled : close_with(handled.error());
}

// An Error here is a protocol error and ends the connection; what is wrong with a request is answered
// and returns success.
Result<void> Session::handle(const wire::FrameHeader& header, ipc::ByteSpan body) {
  if (!greeted_) return greet(header, body);
  switch (header.type) {
    case wire::FrameType::kSubmit: return submit(header, body);
    case wire::FrameType::kCancel: {
      // an id that is not in flight was answered already: the frames crossed
      if (const auto at = jobs_.find(header.request_id); at != jobs_.end()) {
        at->second->kind->pool->cancel(*at->second, CauseKind::kCancelledByClient);
      }
      return {};
    }
    case wire::FrameType::kPing: {
      if (body.size() > wire::kPingBytesMax) return protocol_error("a ping of more than 64 bytes");
      wire::FrameBuilder frame(out_.frame(wire::kHeaderBytes + body.size()), wire::FrameType::kPong, header.request_id);
      frame.body().bytes(body);
      frame.finish();
      out_ready_.notify_all();
      return {};
    }
    case wire::FrameType::kKinds: send_text(header.request_id, host_.kinds_document()); return {};
    case wire::FrameType::kAdmin: return administer(header, body);
    case wire::FrameType::kBuffer: return on_buffer_request(header, body);
    default:
      return protocol_error(
          fmt::format("a frame of type {} is nothing a client sends", static_cast<unsigned>(header.type)));
  }
}

Result<void> Session::greet(const wire::FrameHeader& header, ipc::ByteSpan body) {
  if (header.type != wire::FrameType::kHello) return protocol_error("the first frame must be a hello");
  const auto hello = wire::decode_hello(body);
  if (!hello) return hello.error();
  if (hello->version_min > wire::kVersion || hello->version_max < wire::kVersion) {
    return protocol_error(fmt::format("this server speaks protocol version {}, the client versions {} to {}",
                                      wire::kVersion, hello->version_min, hello->version_max));
  }
  client_name_ = hello->client_name;
  accepts_fds_ = (hello->features & wire::kFeatureAcceptsFds) != 0;
  greeted_ = true;
  wire::encode_welcome(out_.frame(256), {.frame_bytes_max = static_cast<std::uint32_t>(limits_.frame_bytes_max),
                                         .payload_bytes_max = limits_.payload_bytes_max,
                                         .jobs_max = limits_.client_jobs_max,
                                         .server_version = QUERN_VERSION});
  out_ready_.notify_all();
  return {};
}

Result<void> Session::submit(const wire::FrameHeader& header, ipc::ByteSpan body) {
  const auto submit = wire::decode_submit(body);
  auto job = begin_job(header, submit, submit ? submit->job_body.size() : 0);
  if (!job) return job.error();
  if (*job == nullptr) return {};
  consumed_secret_ = (*job)->kind->sensitive;
  (*job)->body.assign(submit->job_body.begin(), submit->job_body.end());
  hand_over({.job = std::move(*job), .options = submit->options});
  return {};
}

// The job whose head is here, with the frame's descriptors and without its body of `body_bytes` bytes. Null: it was
// refused, and answered.
Result<std::unique_ptr<Job>> Session::begin_job(const wire::FrameHeader& header, const Result<wire::Submit>& submit,
                                                std::uint64_t body_bytes) {
  FrameFds came = take_fds(header.fd_count, submit && submit->options.output_file);
  if (!submit && submit.error().code == ErrorCode::kProtocolError) return submit.error();
  if (came.missing > 0) return protocol_error("a frame came without the descriptors it announces");
  if (header.request_id == 0) return protocol_error("request id 0 is the server's");
  if (jobs_.contains(header.request_id)) {
    return protocol_error(fmt::format("request id {} is in use by a job in flight", header.request_id));
  }
  const Kind* kind = submit ? host_.find_kind(submit->kind) : nullptr;
  const auto refuse = [&](Error reason) {
    if (reason.code == ErrorCode::kBusy && kind != nullptr) reason.retry_after_ms = kind->pool->retry_after_ms();
    send_error(header.request_id, reason);
    host_.closer().close(came.fds);  // ours may be the last of a large memfd
    return std::unique_ptr<Job>();
  };
  if (!submit) return refuse(submit.error());
  if (kind == nullptr) return refuse(no_such_kind(submit->kind));
  consumed_secret_ = kind->sensitive;
  const auto payload_bytes = payload_of(came, submit->options, body_bytes);
  if (!payload_bytes) return refuse(payload_bytes.error());
  // one that is received into a memfd costs that as well
  const bool large = wire::kHeaderBytes + header.body_bytes > InBuffer::kBytes;
  const Holding needed{.descriptors = large ? 1U : 0U, .payload_bytes = *payload_bytes};
  if (auto over = came.charge.refusal(needed)) return refuse(std::move(*over));
  came.charge.add(needed);
  auto shared = shared_for(submit->options);
  if (!shared) return refuse(shared.error());
  auto job = host_.jobs().acquire();
  job->kind = kind;
  job->client = this;
  job->client_id = peer_.id;
  job->request_id = header.request_id;
  job->fds = std::move(came.fds);
  job->output_file = std::move(came.output_file);
  job->charge = std::move(came.charge);
  job->stream = submit->options.stream;
  job->shared = std::move(*shared);
  job->payload_bytes = *payload_bytes;
  return job;
}

// How much a job hands over in all, if that is in order.
Result<std::uint64_t> Session::payload_of(const FrameFds& came, const wire::JobOptions& options,
                                          std::uint64_t body_bytes) const {
  if (came.dropped > 0) return came.charge.dropped(came.fds.size() + (options.output_file ? 1 : 0));
  if (body_bytes > limits_.payload_bytes_max) return too_large(limits_.payload_bytes_max);
  std::uint64_t payload_bytes = body_bytes;
  for (const unique_fd& fd : came.fds) {
    const auto bytes = ipc::sealed_size(fd.get());
    if (!bytes) return bytes.error();
    if (*bytes > limits_.payload_bytes_max - payload_bytes) return too_large(limits_.payload_bytes_max);
    payload_bytes += *bytes;
  }
  if (options.output_file) {
    if (const auto usable = check_output_file(came.output_file); !usable) return usable.error();
    if (options.stream) return one_way_only();
  }
  return payload_bytes;
}

void Session::hand_over(Pending pending) {
  pending_ = std::move(pending);
  // otherwise read_requests identifies it, or waits for a place
  if (!host_.quarantine().must_identify(*pending_.job)) (void)place_pending();
}

void Session::drop(Pending& pending) noexcept {
  if (pending.job) {
    pending.job->kind->pool->leave_line(*pending.job);
    host_.jobs().release(std::move(pending.job));
  }
  pending.share = {};
}

// Gives the pending job to its pool. False: the pool is full, try again when it has room.
bool Session::place_pending() {
  Pool& pool = *pending_.job->kind->pool;
  Job& job = *pending_.job;
  const std::uint64_t request_id = job.request_id;
  const auto refuse = [&](Error refusal) {
    refusal.job_id = job.id;
    send_error(request_id, refusal);
    drop(pending_);
    return true;
  };
  if (auto quarantined = host_.quarantine().refusal(job)) return refuse(std::move(*quarantined));
  jobs_.emplace(request_id, &job);  // first: the answer may come from within submit()
  const auto admitted = pool.submit(pending_.job, pending_.options);
  if (admitted && *admitted == Pool::Admission::kAccepted) {
    pending_.share = {};
    return true;
  }
  jobs_.erase(request_id);
  return admitted ? false : refuse(admitted.error());
}

Result<void> Session::administer(const wire::FrameHeader& header, ipc::ByteSpan body) {
  const auto admin = wire::decode_admin(body);
  if (!admin) return admin.error();
  if (peer_.role != SessionRole::kOperator) {
    send_error(header.request_id,
               {.code = ErrorCode::kPermissionDenied, .message = "operators' requests are taken on admin.sock only"});
    return {};
  }
  ++operations_;
  asio::co_spawn(io_, answer_admin(header.request_id, admin->op, std::string(admin->pool), admin->value),
                 asio::detached);
  return {};
}

asio::awaitable<void> Session::answer_admin(std::uint64_t request_id, wire::AdminOp op, std::string pool,
                                            std::uint64_t value) {
  const auto answer = co_await host_.operate(op, std::move(pool), value);
  if (answer) {
    send_text(request_id, *answer);
  } else {
    send_error(request_id, answer.error());
  }
  account_answers();
  --operations_;
  relieved_.notify_all();
}

}  // namespace quern::supervisor
