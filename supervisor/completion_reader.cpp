#include "supervisor/completion_reader.h"

#include <utility>

#include "ipc/completion_ring.h"
#include "ipc/memfd.h"

namespace quern::supervisor {
namespace {

// What a job, its module or its input can be at fault for. Whether a worker crashed, a pool is busy or a
// server can be reached is not seen from inside a worker.
bool is_workers_to_tell(ErrorCode code) noexcept {
  switch (code) {
    case ErrorCode::kInvalidArgument:
    case ErrorCode::kBadInput:
    case ErrorCode::kTooLarge:
    case ErrorCode::kCancelled:
    case ErrorCode::kOutOfMemory:
    case ErrorCode::kProtocolError:
    case ErrorCode::kInternal: return true;
    default: return false;
  }
}

}  // namespace

CompletionReader::CompletionReader(const ipc::Channel& channel, int control, FdCloser* closer)
    : channel_(channel), control_(control), closer_(closer) {
  parts_.reserve(ipc::kResultPartsMax);
  raw_parts_.reserve(ipc::kResultPartsMax);
}

void CompletionReader::drop() noexcept {
  for (auto* fds : {&fds_, &message_.fds}) {
    for (unique_fd& fd : *fds) {
      if (closer_ != nullptr) closer_->close(std::move(fd), uid_);
    }
    fds->clear();
  }
}

std::optional<WorkerAnswer> CompletionReader::read(const ipc::Completion& completion, const Job* job) {
  const auto outcome = static_cast<ipc::Outcome>(completion.outcome);
  drop();
  if (job != nullptr) uid_ = job->charge.uid();
  if ((job == nullptr) != (outcome == ipc::Outcome::kSkipped)) return std::nullopt;
  WorkerAnswer answer{.run_ns = completion.run_ns};
  if (outcome == ipc::Outcome::kResult && !read_result(completion, *job, answer)) return std::nullopt;
  if (outcome == ipc::Outcome::kError && !read_error(completion, answer)) return std::nullopt;
  return answer;
}

bool CompletionReader::read_result(const ipc::Completion& completion, const Job& job, WorkerAnswer& answer) {
  parts_.clear();
  raw_parts_.clear();
  if (!receive_fds(completion)) return false;
  const auto table = channel_.result_parts(completion.position);
  const std::span<const std::byte> extent = channel_.output(completion.position);
  std::uint64_t total = 0;
  std::size_t next_fd = 0;
  for (std::uint32_t i = 0; i < completion.parts; ++i) {
    const ipc::ResultPart& part = raw_parts_.emplace_back(ipc::read_once(table[i]));  // reserved: never moves
    if (part.name_bytes > ipc::kResultPartNameBytesMax || part.bytes > job.result_bytes_max - total) return false;
    total += part.bytes;
    ResultParts::Part checked{
        .name = {part.name, part.name_bytes}, .place = static_cast<wire::Place>(part.place), .bytes = part.bytes};
    switch (checked.place) {
      case wire::Place::kFd: {
        if (next_fd == fds_.size()) return false;
        const auto sealed = ipc::sealed_size(fds_[next_fd++].get());
        if (!sealed || *sealed != part.bytes) return false;
        break;
      }
      case wire::Place::kInline:
        if (part.offset > extent.size() || part.bytes > extent.size() - part.offset) return false;
        checked.data = extent.subspan(part.offset, static_cast<std::size_t>(part.bytes));
        break;
      case wire::Place::kElsewhere:
        if (i > 0 || (!job.output_file && (!job.stream || part.bytes != job.streamed_bytes))) return false;
        break;
      default: return false;
    }
    parts_.push_back(checked);
  }
  answer.result = {.parts = parts_, .fds = fds_};
  return next_fd == fds_.size();
}

bool CompletionReader::read_error(const ipc::Completion& completion, WorkerAnswer& answer) const {
  if (completion.fd_count != 0) return false;
  // a private copy first: what is decoded can't change any more
  const auto shared = channel_.output(completion.position).first(completion.error_bytes);
  const std::vector<std::byte> body(shared.begin(), shared.end());
  answer.error = wire::decode_error(body);
  if (!answer.error || !is_workers_to_tell(answer.error->code)) return false;
  answer.error->cause = {};
  answer.error->retry_after_ms = 0;
  return true;
}

// They went ahead of the completion, so they are here, and nothing else is.
bool CompletionReader::receive_fds(const ipc::Completion& completion) {
  while (fds_.size() < completion.fd_count) {
    const auto received = ipc::receive_control(control_, message_);
    if (!received || *received != ipc::IoStatus::kDone) return false;
    if (message_.header.type != ipc::ControlType::kResultFds || message_.header.id != completion.position) return false;
    if (message_.fds.empty()) return false;
    for (unique_fd& fd : message_.fds) fds_.push_back(std::move(fd));
  }
  return fds_.size() == completion.fd_count;
}

}  // namespace quern::supervisor
