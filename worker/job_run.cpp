#include "worker/job_run.h"

#include <fmt/format.h>
#include <string.h>

#include <algorithm>
#include <cstring>
#include <exception>
#include <new>
#include <utility>

#include "common/clock.h"
#include "worker/sdk/params.h"

namespace quern::worker {
namespace {

// An error body must fit the smallest output extent, one page.
constexpr std::size_t kErrorMessageBytesMax = 2048;
constexpr std::size_t kPartAlignment = 64;

ErrorCode to_error_code(sdk::JobErrorCode code) {
  switch (code) {
    case sdk::JobErrorCode::kInvalidArgument: return ErrorCode::kInvalidArgument;
    case sdk::JobErrorCode::kBadInput: return ErrorCode::kBadInput;
    case sdk::JobErrorCode::kTooLarge: return ErrorCode::kTooLarge;
    case sdk::JobErrorCode::kOutOfMemory: return ErrorCode::kOutOfMemory;
    case sdk::JobErrorCode::kCancelled: return ErrorCode::kCancelled;
    case sdk::JobErrorCode::kInternal: break;
  }
  return ErrorCode::kInternal;
}

// Messages quote decoders, and decoders quote inputs: nothing unprintable leaves the worker.
std::string printable(std::string_view text) {
  std::string clean(text.substr(0, kErrorMessageBytesMax));
  for (char& c : clean) {
    if (static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) >= 0x7f) c = '?';
  }
  return clean;
}

// What a module threw, as the job's error. Call in a catch block.
Error error_of_current_exception() {
  try {
    throw;
  } catch (const sdk::JobError& error) {
    return {.code = to_error_code(error.code()), .message = printable(error.what()), .field = printable(error.field())};
  } catch (const ErrorException& error) {
    return error.error();
  } catch (const std::bad_alloc&) {
    return {.code = ErrorCode::kOutOfMemory, .message = "the job needs more memory than its worker may use"};
  } catch (const std::exception& error) {
    return {.code = ErrorCode::kInternal, .message = "the job module failed: " + printable(error.what())};
  } catch (...) {
    return {.code = ErrorCode::kInternal, .message = "the job module threw something that is no exception"};
  }
}

}  // namespace

JobRun::JobRun(const ipc::Channel& channel, int control, std::span<const sdk::Kind* const> kinds)
    : channel_(channel), control_(control), kinds_(kinds) {}

ipc::Completion JobRun::run(const ipc::SubmissionConsumer::Claim& claim) {
  position_ = claim.position;
  submission_ = claim.submission;
  ipc::Completion completion{};
  completion.position = position_;
  const bool sensitive = submission_.kind < kinds_.size() && kinds_[submission_.kind]->sensitive;
  try {
    run_module(completion);
    publish_result(completion);
  } catch (...) {
    publish_error(completion, error_of_current_exception());
  }
  clean_up(sensitive);
  return completion;
}

void JobRun::run_module(ipc::Completion& completion) {
  if (submission_.fd_count > 0) receive_fds();
  const sdk::Kind& kind = *kinds_[submission_.kind];
  const auto body = wire::decode_job_body(job_body());
  if (!body) throw ErrorException(body.error());
  memory_.emplace(scratch_.data(), scratch_.size());
  params_.emplace(sdk::check_params(kind.params, body->params_json, &*memory_));
  read_inputs(body->parts);
  check_input_count(kind);
  const std::int64_t began_ns = now_ns();
  try {
    kind.run(*this);
  } catch (...) {
    completion.run_ns = static_cast<std::uint64_t>(now_ns() - began_ns);
    throw;
  }
  completion.run_ns = static_cast<std::uint64_t>(now_ns() - began_ns);
}

// ---- Input -----------------------------------------------------------------------------------------

// The message was sent before the descriptor was published, so it is here, behind those of jobs that
// were revoked and never run.
void JobRun::receive_fds() {
  do {
    const auto received = ipc::receive_control(control_, fds_);
    if (!received) throw ErrorException(received.error());
    if (*received != ipc::IoStatus::kDone) throw std::runtime_error("the control socket closed");
  } while (fds_.header.id != position_);
  if (fds_.fds.size() != submission_.fd_count) throw std::runtime_error("descriptors of the job are missing");
}

void JobRun::drop_fds(std::uint64_t position) {
  do {
    const auto received = ipc::receive_control(control_, fds_);
    if (!received || *received != ipc::IoStatus::kDone) break;
  } while (fds_.header.id != position);
  fds_.fds.clear();
}

ipc::ByteSpan JobRun::job_body() {
  if (!submission_.body_in_fd) return channel_.input(position_).first(submission_.body_bytes);
  auto mapping = ipc::Mapping::map(fds_.fds.front().get(), submission_.body_bytes, ipc::Access::kReadOnly);
  if (!mapping) throw ErrorException(mapping.error());
  return mappings_.emplace_back(std::move(*mapping)).bytes();
}

void JobRun::read_inputs(ipc::ByteSpan parts) {
  const auto decoded = wire::decode_parts(parts, parts_);
  if (!decoded) throw ErrorException(decoded.error());
  std::size_t next_fd = submission_.body_in_fd ? 1 : 0;
  for (const wire::Part& part : parts_) {
    if (!part.in_fd) {
      inputs_.push_back({part.name, part.data});
      continue;
    }
    if (next_fd == fds_.fds.size()) {
      throw sdk::JobError(sdk::JobErrorCode::kInvalidArgument, "more parts are said to be in descriptors than descriptors came", "parts");
    }
    const int fd = fds_.fds[next_fd++].get();
    const auto bytes = ipc::sealed_size(fd);
    if (!bytes) throw ErrorException(bytes.error());
    if (*bytes != part.bytes) {
      throw sdk::JobError(sdk::JobErrorCode::kInvalidArgument,
                          fmt::format("a part is said to have {} bytes; its descriptor has {}", part.bytes, *bytes), "parts");
    }
    auto mapping = ipc::Mapping::map(fd, *bytes, ipc::Access::kReadOnly);
    if (!mapping) throw ErrorException(mapping.error());
    inputs_.push_back({part.name, mappings_.emplace_back(std::move(*mapping)).bytes()});
  }
  if (next_fd != fds_.fds.size() && submission_.fd_count > 0) {
    throw sdk::JobError(sdk::JobErrorCode::kInvalidArgument, "more descriptors came than parts say they are in one", "parts");
  }
}

void JobRun::check_input_count(const sdk::Kind& kind) const {
  const std::size_t count = inputs_.size();
  if (count >= kind.input.parts_min && count <= kind.input.parts_max) return;
  const std::string wanted = kind.input.parts_min == kind.input.parts_max
                                 ? fmt::format("{}", kind.input.parts_min)
                                 : fmt::format("{} to {}", kind.input.parts_min, kind.input.parts_max);
  throw sdk::JobError(sdk::JobErrorCode::kInvalidArgument,
                      fmt::format("{} takes {} input parts ({}), not {}", kind.name, wanted,
                                  kind.input.help.empty() ? "none" : kind.input.help, count),
                      "parts");
}

// ---- What modules call -----------------------------------------------------------------------------

sdk::Output& JobRun::output(std::string_view part_name) {
  if (outputs_.size() >= ipc::kResultPartsMax) {
    throw sdk::JobError(sdk::JobErrorCode::kTooLarge, fmt::format("a result has at most {} parts", ipc::kResultPartsMax));
  }
  if (part_name.size() > ipc::kResultPartNameBytesMax) {
    throw sdk::JobError(sdk::JobErrorCode::kInternal, "a result part's name is longer than 47 bytes");
  }
  std::span<std::byte> room = channel_.output(position_);
  std::uint64_t used = 0;
  for (const JobOutput& earlier : outputs_) {
    used += earlier.size();
    if (earlier.in_memfd()) continue;
    const auto end = static_cast<std::size_t>(earlier.extent_data() - channel_.output(position_).data()) + earlier.size();
    const std::size_t next = std::min((end + kPartAlignment - 1) / kPartAlignment * kPartAlignment, channel_.output(position_).size());
    room = channel_.output(position_).subspan(next);
  }
  return outputs_.emplace_back(part_name, room, submission_.result_bytes_max - used);
}

bool JobRun::cancel_requested() const noexcept {
  return channel_.header().cancel.load(std::memory_order_relaxed) == position_ + 1;
}

void JobRun::progress(std::uint64_t done, std::uint64_t total) noexcept {
  ipc::store_progress(channel_.header(), position_, {done, total});
}

// ---- Completion ------------------------------------------------------------------------------------

void JobRun::publish_result(ipc::Completion& completion) {
  const auto table = channel_.result_parts(position_);
  std::vector<int> fds;
  for (std::size_t i = 0; i < outputs_.size(); ++i) {
    JobOutput& output = outputs_[i];
    output.finish();
    ipc::ResultPart part{};
    part.bytes = output.size();
    part.name_bytes = static_cast<std::uint8_t>(output.name().size());
    std::memcpy(part.name, output.name().data(), output.name().size());
    if (output.in_memfd()) {
      part.in_fd = 1;
      fds.push_back(output.fd());
    } else {
      part.offset = static_cast<std::uint32_t>(output.extent_data() - channel_.output(position_).data());
    }
    table[i] = part;
  }
  if (!fds.empty()) {
    const auto sent = ipc::send_control(control_, {.type = ipc::ControlType::kResultFds, .id = position_}, {}, fds);
    if (!sent) throw ErrorException(sent.error());
  }
  completion.outcome = static_cast<std::uint32_t>(ipc::Outcome::kResult);
  completion.parts = static_cast<std::uint32_t>(outputs_.size());
  completion.fd_count = static_cast<std::uint32_t>(fds.size());
}

void JobRun::publish_error(ipc::Completion& completion, Error error) {
  error.job_id = submission_.job_id;
  error_body_.clear();
  ipc::ByteWriter writer(error_body_);
  wire::encode_error(writer, error);
  std::memcpy(channel_.output(position_).data(), error_body_.data(), error_body_.size());
  completion.outcome = static_cast<std::uint32_t>(ipc::Outcome::kError);
  completion.parts = 0;
  completion.fd_count = 0;
  completion.error_bytes = static_cast<std::uint32_t>(error_body_.size());
}

// The supervisor wipes the output extent, once it has copied the answer.
void JobRun::clean_up(bool sensitive) noexcept {
  params_.reset();
  memory_.reset();
  if (sensitive) {
    ::explicit_bzero(scratch_.data(), scratch_.size());
    const auto input = channel_.input(position_);
    ::explicit_bzero(input.data(), std::min<std::size_t>(submission_.body_bytes, input.size()));
  }
  inputs_.clear();
  parts_.clear();
  mappings_.clear();
  outputs_.clear();
  fds_.fds.clear();
}

}  // namespace quern::worker
