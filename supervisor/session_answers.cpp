// The half of Session that writes answers.
#include <utility>

#include "common/clock.h"
#include "supervisor/pool.h"
#include "supervisor/session.h"

namespace quern::supervisor {

void Session::on_result(Job& job, const wire::ResultInfo& info, const ResultParts& result) {
  job.charge.set({});  // its record goes now
  auto over = unread_.another().refusal({.descriptors = result.fds.size()});
  if (over) {
    over->message = "the result is thrown away: " + over->message;
    send_error(job.request_id, *over);
  } else if (accepts_fds_ || result.fds.empty()) {
    send_fd_result(job, info, result);
  } else {
    send_inline_result(job, info, result);
  }
  forget(job);
}

namespace {

std::vector<wire::Part> wire_parts(const ResultParts& result, bool fds_inline) {
  std::vector<wire::Part> parts;
  parts.reserve(result.parts.size());
  for (const ResultParts::Part& part : result.parts) {
    parts.push_back({.name = part.name,
                     .place = fds_inline && part.place == wire::Place::kFd ? wire::Place::kInline : part.place,
                     .bytes = part.bytes,
                     .data = part.data});
  }
  return parts;
}

std::size_t head_bytes_max(const ResultParts& result) {
  return wire::kHeaderBytes + 128 + result.parts.size() * (16 + wire::kPartNameBytesMax);
}

}  // namespace

void Session::send_fd_result(Job& job, const wire::ResultInfo& info, const ResultParts& result) {
  std::size_t bytes = head_bytes_max(result);
  for (const auto& part : result.parts) bytes += part.data.size();
  std::vector<unique_fd> fds;
  for (unique_fd& fd : result.fds) fds.push_back(std::move(fd));
  std::uint64_t fd_bytes = 0;
  for (const auto& part : result.parts) fd_bytes += part.place == wire::Place::kFd ? part.bytes : 0;
  const auto fd_count = static_cast<std::uint16_t>(fds.size());
  wire::FrameBuilder frame(out_.frame(bytes, std::move(fds), job.kind->sensitive, fd_bytes), wire::FrameType::kResult,
                           job.request_id, fd_count);
  wire::encode_result_head(frame.body(), info);
  wire::encode_parts(frame.body(), wire_parts(result, false));
  frame.finish();
}

// For clients that take no descriptors: the memfds' contents follow the table, through sendfile.
void Session::send_inline_result(Job& job, const wire::ResultInfo& info, const ResultParts& result) {
  std::uint64_t data_bytes = 0;
  for (const auto& part : result.parts) data_bytes += part.place == wire::Place::kElsewhere ? 0 : part.bytes;
  if (data_bytes > UINT32_MAX - head_bytes_max(result)) {
    send_error(job.request_id, {.code = ErrorCode::kTooLarge,
                                .message = "a result of 4 GiB or more reaches only clients that accept descriptors",
                                .job_id = job.id});
    return;
  }
  wire::FrameBuilder frame(out_.frame(head_bytes_max(result), {}, job.kind->sensitive), wire::FrameType::kResult,
                           job.request_id);
  wire::encode_result_head(frame.body(), info);
  wire::encode_parts_table(frame.body(), wire_parts(result, true));
  frame.finish(data_bytes);
  std::size_t next_fd = 0;
  for (const auto& part : result.parts) {
    if (part.place == wire::Place::kFd) {
      out_.append_file(std::move(result.fds[next_fd++]), part.bytes);
    } else {
      wire::Buffer& bytes = out_.continue_frame(part.data.size(), job.kind->sensitive);
      bytes.insert(bytes.end(), part.data.begin(), part.data.end());
    }
  }
}

void Session::on_error(Job& job, Error error) {
  send_error(job.request_id, error);
  forget(job);
}

void Session::on_progress(Job& job, const wire::Progress& progress) {
  if (out_.bytes() > kOutBytesMax / 2) return;  // a client that does not read needs no progress
  wire::FrameBuilder frame(out_.frame(64 + progress.message.size()), wire::FrameType::kProgress, job.request_id);
  wire::encode_progress(frame.body(), progress);
  frame.finish();
  out_ready_.notify_all();
}

// A client that takes its answers slowly makes its own jobs wait, as far as they stream. While all clients together
// take too few, each has a little on its way at a time.
std::size_t Session::stream_room(const Job& /*job*/) {
  constexpr std::size_t kLittle = 16U << 10;
  const bool scarce = host_.answers_budget().exceeded();
  const bool full = out_.bytes() >= kOutBytesMax / 2 || (scarce && !out_.empty());
  streams_wait_ = streams_wait_ || full || scarce;
  if (full) return 0;
  return scarce ? kLittle : SIZE_MAX;
}

void Session::on_stream(Job& job, ipc::ByteSpan first, ipc::ByteSpan second) {
  const std::size_t bytes = first.size() + second.size();
  wire::FrameBuilder frame(out_.frame(wire::kHeaderBytes + bytes, {}, job.kind->sensitive), wire::FrameType::kChunk,
                           job.request_id);
  frame.body().bytes(first);
  frame.body().bytes(second);
  frame.finish();
  account_answers();
  out_ready_.notify_all();
}

void Session::resume_streams() {
  streams_wait_ = false;
  for (const auto& [request_id, job] : jobs_) {
    if (streams_wait_) break;
    if (job->stream) job->kind->pool->resume_stream(*job);
  }
}

void Session::forget(const Job& job) {
  account_answers();
  active_ns_ = now_ns();
  jobs_.erase(job.request_id);
  out_ready_.notify_all();
  relieved_.notify_all();
}

void Session::send_error(std::uint64_t request_id, const Error& error) {
  const std::size_t bytes = wire::kHeaderBytes + 64 + error.field.size() + error.message.size();
  wire::FrameBuilder frame(out_.frame(bytes), wire::FrameType::kError, request_id);
  wire::encode_error(frame.body(), error);
  frame.finish();
  out_ready_.notify_all();
}

void Session::send_text(std::uint64_t request_id, std::string_view text) {
  wire::FrameBuilder frame(out_.frame(wire::kHeaderBytes + text.size()), wire::FrameType::kText, request_id);
  frame.body().text(text);
  frame.finish();
  out_ready_.notify_all();
}

}  // namespace quern::supervisor
