#include "worker/job_run.h"

#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <string.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <string>
#include <utility>

#include "common/clock.h"
#include "worker/file_output.h"
#include "worker/job_error.h"
#include "worker/memory_note.h"
#include "worker/sdk/params.h"

namespace quern::worker {
namespace {

constexpr std::size_t kPartAlignment = 64;

// Sealed memory maps unless the address space is used up.
ipc::Mapping map_input(int fd, std::uint64_t bytes) {
  auto mapping = ipc::Mapping::map(fd, bytes, ipc::Access::kReadOnly);
  if (!mapping)
    throw sdk::JobError(sdk::JobErrorCode::kOutOfMemory, fmt::format("no memory for an input of {} bytes", bytes));
  return std::move(*mapping);
}

ipc::ResultPart table_row(std::string_view name, std::uint64_t bytes, wire::Place place) {
  ipc::ResultPart part{};
  part.bytes = bytes;
  part.place = static_cast<std::uint8_t>(place);
  part.name_bytes = static_cast<std::uint8_t>(name.size());
  std::memcpy(part.name, name.data(), name.size());
  return part;
}

}  // namespace

JobRun::JobRun(const ipc::Channel& channel, int control, int eventfd, std::span<const sdk::Kind* const> kinds,
               std::uint64_t memory_bytes_max)
    : channel_(channel),
      control_(control),
      kinds_(kinds),
      stream_(channel, eventfd),
      reservation_(channel, eventfd, memory_bytes_max) {}

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
    Error error = error_of_current_exception();
    direct_.reset();
    outputs_.clear();  // what is half done makes room first: the reason may be that there is none
    publish_error(completion, std::move(error));
  }
  clean_up(sensitive);
  return completion;
}

void JobRun::run_module(ipc::Completion& completion) {
  if (submission_.fd_count > 0) receive_fds();
  if (submission_.kind >= kinds_.size()) throw std::runtime_error("the supervisor named a kind that no module has");
  const sdk::Kind& kind = *kinds_[submission_.kind];
  const auto body = wire::decode_job_body(job_body());
  if (!body) throw ErrorException(body.error());
  memory_.emplace(scratch_.data(), scratch_.size(), &overflow_);
  params_.emplace(sdk::check_params(kind.params, body->params_json, &*memory_));
  read_inputs(body->parts);
  read_shared();
  check_input_count(kind);
  reservation_.begin(position_);
  const std::int64_t began_ns = now_ns();
  const auto run_ns = [&] { return static_cast<std::uint64_t>(now_ns() - began_ns - reservation_.waited_ns()); };
  forget_failed_allocations();
  try {
    kind.run(*this);
  } catch (...) {
    completion.run_ns = run_ns();
    throw;
  }
  completion.run_ns = run_ns();
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
  const std::span<std::byte> extent = channel_.input(position_);
  if (!submission_.body_in_fd) {
    if (submission_.body_bytes > extent.size()) throw std::runtime_error("the job's body is longer than its extent");
    return extent.first(submission_.body_bytes);
  }
  if (fds_.fds.empty()) throw std::runtime_error("the job's body is in a descriptor that did not come");
  return mappings_.emplace_back(map_input(fds_.fds.front().get(), submission_.body_bytes)).bytes();
}

void JobRun::read_inputs(ipc::ByteSpan parts) {
  const auto decoded = wire::decode_parts(parts, parts_);
  if (!decoded) throw ErrorException(decoded.error());
  std::size_t next_fd = submission_.body_in_fd ? 1 : 0;
  const std::size_t last_fd = part_fds();
  for (const wire::Part& part : parts_) {
    if (part.place == wire::Place::kElsewhere) {
      throw sdk::JobError(sdk::JobErrorCode::kInvalidArgument,
                          "an input part is neither in the frame nor in a descriptor", "parts");
    }
    if (part.place == wire::Place::kInline) {
      inputs_.push_back({part.name, part.data});
      input_fds_.push_back(-1);
      continue;
    }
    if (next_fd == last_fd) {
      throw sdk::JobError(sdk::JobErrorCode::kInvalidArgument,
                          "more parts are said to be in descriptors than descriptors came", "parts");
    }
    const int fd = fds_.fds[next_fd++].get();
    const auto bytes = ipc::sealed_size(fd);
    if (!bytes) throw ErrorException(bytes.error());
    if (*bytes != part.bytes) {
      throw sdk::JobError(sdk::JobErrorCode::kInvalidArgument,
                          fmt::format("a part is said to have {} bytes; its descriptor has {}", part.bytes, *bytes),
                          "parts");
    }
    inputs_.push_back({part.name, mappings_.emplace_back(map_input(fd, *bytes)).bytes()});
    input_fds_.push_back(fd);
  }
  if (next_fd != last_fd && submission_.fd_count > 0) {
    throw sdk::JobError(sdk::JobErrorCode::kInvalidArgument, "more descriptors came than parts say they are in one",
                        "parts");
  }
}

// How many descriptors are the body's and the parts'; then come those of shared buffers and of the output file.
std::size_t JobRun::part_fds() const noexcept {
  const std::size_t others = submission_.shared_buffers + (submission_.output_file ? 1U : 0U);
  return fds_.fds.size() - std::min(others, fds_.fds.size());
}

// Sealed in size by who made them, as the supervisor has checked: no truncation can turn an access into SIGBUS.
void JobRun::read_shared() {
  const std::size_t first = part_fds();
  for (std::size_t i = 0; i < submission_.shared_buffers; ++i) {
    const int fd = fds_.fds.at(first + i).get();
    struct stat info {};
    if (::fstat(fd, &info) != 0) throw ErrorException(system_error("fstat", "shared buffer", errno));
    auto mapping = ipc::Mapping::map(fd, static_cast<std::uint64_t>(info.st_size), ipc::Access::kReadWrite);
    if (!mapping) throw ErrorException(mapping.error());
    shared_.emplace_back(mappings_.emplace_back(std::move(*mapping)).bytes());
  }
}

void JobRun::check_input_count(const sdk::Kind& kind) const {
  if (shared_.size() < kind.shared.buffers_min || shared_.size() > kind.shared.buffers_max) {
    const std::string wanted = kind.shared.buffers_max == 0
                                   ? std::string("no shared buffer")
                                   : fmt::format("{} to {} shared buffers ({})", kind.shared.buffers_min,
                                                 kind.shared.buffers_max, kind.shared.help);
    throw sdk::JobError(sdk::JobErrorCode::kInvalidArgument,
                        fmt::format("{} takes {}, not {}", kind.name, wanted, shared_.size()), "shared_buffers");
  }
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
  if (part_name.size() > ipc::kResultPartNameBytesMax) {
    throw sdk::JobError(sdk::JobErrorCode::kInternal, "a result part's name is longer than 47 bytes");
  }
  if (first_part_is_direct() && !direct_) return begin_direct(part_name);
  if (outputs_.size() + (direct_ ? 1 : 0) >= ipc::kResultPartsMax) {
    throw sdk::JobError(sdk::JobErrorCode::kTooLarge,
                        fmt::format("a result has at most {} parts", ipc::kResultPartsMax));
  }
  const std::span<std::byte> extent = channel_.output(position_);
  std::size_t taken = 0;                               // of the extent, from its beginning
  std::uint64_t used = direct_ ? direct_->size() : 0;  // of what the job may produce
  for (JobOutput& earlier : outputs_) {
    earlier.give_back_room();
    used += earlier.size();
    if (earlier.in_memfd()) continue;
    const std::size_t end = earlier.extent_offset(extent) + earlier.size();
    taken = std::min((end + kPartAlignment - 1) / kPartAlignment * kPartAlignment, extent.size());
  }
  return outputs_.emplace_back(part_name, extent.subspan(taken), submission_.result_bytes_max - used);
}

DirectOutput& JobRun::begin_direct(std::string_view part_name) {
  if (submission_.output_file) {
    direct_ = std::make_unique<FileOutput>(part_name, fds_.fds.back().get(), submission_.result_bytes_max);
  } else {
    direct_ = std::make_unique<StreamOutput>(part_name, stream_, position_, submission_.result_bytes_max);
  }
  return *direct_;
}

void JobRun::forward(const sdk::InputPart& input, std::string_view part_name) {
  sdk::Output& part = output(part_name);
  const auto index = static_cast<std::size_t>(&input - inputs_.data());
  if (index >= inputs_.size()) throw std::logic_error("a module forwarded what is not one of its inputs");
  const int fd = input_fds_[index];
  auto* adopting = dynamic_cast<JobOutput*>(&part);
  if (fd < 0 || adopting == nullptr) return part.write(input.bytes);
  // our own is closed with the job, the module may forward it twice
  unique_fd copy(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
  if (!copy) throw ErrorException(system_error("fcntl(F_DUPFD_CLOEXEC)", "input", errno));
  adopting->adopt(std::move(copy), input.bytes.size());
}

bool JobRun::cancel_requested() const noexcept {
  return channel_.header().cancel.load(std::memory_order_relaxed) == position_ + 1;
}

void JobRun::progress(std::uint64_t done, std::uint64_t total, std::string_view message) noexcept {
  ipc::ProgressView view{.done = done, .total = total};
  view.message_bytes = static_cast<std::uint32_t>(write_printable(message, view.message));
  ipc::store_progress(channel_.header(), position_, view);
}

// ---- Completion ------------------------------------------------------------------------------------

void JobRun::publish_result(ipc::Completion& completion) {
  const auto table = channel_.result_parts(position_);
  std::uint32_t parts = 0;
  std::vector<int> fds;
  if (first_part_is_direct()) {
    if (!direct_) (void)begin_direct({});  // a job without a result: its file is empty
    direct_->finish();
    table[parts++] = table_row(direct_->name(), direct_->size(), wire::Place::kElsewhere);
  }
  for (JobOutput& output : outputs_) {
    output.finish();
    ipc::ResultPart part =
        table_row(output.name(), output.size(), output.in_memfd() ? wire::Place::kFd : wire::Place::kInline);
    if (output.in_memfd()) {
      fds.push_back(output.fd());
    } else {
      part.offset = static_cast<std::uint32_t>(output.extent_offset(channel_.output(position_)));
    }
    table[parts++] = part;
  }
  if (!fds.empty()) {
    const auto sent = ipc::send_control(control_, {.type = ipc::ControlType::kResultFds, .id = position_}, {}, fds);
    if (!sent) throw ErrorException(sent.error());
  }
  completion.outcome = static_cast<std::uint32_t>(ipc::Outcome::kResult);
  completion.parts = parts;
  completion.fd_count = static_cast<std::uint32_t>(fds.size());
}

void JobRun::publish_error(ipc::Completion& completion, Error error) {
  error.job_id = submission_.job_id;
  error_body_.clear();
  ipc::ByteWriter writer(error_body_);
  wire::encode_error(writer, error);
  std::memcpy(channel_.output(position_).data(), error_body_.data(), error_body_.size());  // fits, see job_error.h
  completion.outcome = static_cast<std::uint32_t>(ipc::Outcome::kError);
  completion.parts = 0;
  completion.fd_count = 0;
  completion.error_bytes = static_cast<std::uint32_t>(error_body_.size());
}

// The supervisor wipes the output extent, once it has copied the answer, and descriptors' contents are
// sealed against us too; the input extent and the parameters are ours to wipe.
void JobRun::clean_up(bool sensitive) noexcept {
  params_.reset();
  memory_.reset();  // what overflowed the scratch is wiped by WipingMemory
  if (sensitive) {
    ::explicit_bzero(scratch_.data(), scratch_.size());
    const auto input = channel_.input(position_);
    ::explicit_bzero(input.data(), std::min<std::size_t>(submission_.body_bytes, input.size()));
  }
  inputs_.clear();
  shared_.clear();
  input_fds_.clear();
  parts_.clear();
  mappings_.clear();
  if (sensitive && direct_) direct_->wipe();
  direct_.reset();
  outputs_.clear();
  fds_.fds.clear();
  heap_.job_ended(reservation_.most_bytes());
}

}  // namespace quern::worker
