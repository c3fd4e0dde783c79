#include "client/job_frame.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/container/small_vector.hpp>
#include <numeric>
#include <utility>

namespace quern::client {
namespace {

// When many small parts together are too much for a frame, those above this go by descriptor.
constexpr std::size_t kSpillBytesMin = 4096;

Error bad_job(std::string_view field, std::string message) {
  return Error{.code = ErrorCode::kInvalidArgument, .message = std::move(message), .field = std::string(field)};
}

// How a job's parts travel. parts[i] is in a descriptor exactly when fds[i] is not null.
struct Plan {
  boost::container::small_vector<wire::Part, 4> parts;
  boost::container::small_vector<SharedFd, 4> fds;
  std::vector<ipc::Mapping> mapped;  // parts in memfds that go inline all the same
  std::size_t inline_bytes = 0;
  std::size_t fd_count = 0;
};

Result<void> add(Plan& plan, const Part& part) {
  if (part.error() != nullptr) return *part.error();
  if (part.name().size() > wire::kPartNameBytesMax) return bad_job("parts", "a part's name has at most 47 bytes");
  wire::Part& added =
      plan.parts.emplace_back(wire::Part{.name = part.name(),
                                         .place = part.in_fd() ? wire::Place::kFd : wire::Place::kInline,
                                         .bytes = part.bytes().size(),
                                         .data = part.bytes()});
  plan.fds.push_back(part.shared_fd());
  if (!part.in_fd()) {
    plan.inline_bytes += part.bytes().size();
    return {};
  }
  const auto bytes = ipc::sealed_size(part.fd().get());
  if (!bytes) return bytes.error();
  added.bytes = *bytes;
  ++plan.fd_count;
  return {};
}

Result<void> put_inline(Plan& plan, std::size_t i) {
  auto mapping = ipc::Mapping::map(plan.fds[i]->get(), plan.parts[i].bytes, ipc::Access::kReadOnly);
  if (!mapping) return mapping.error();
  plan.parts[i].place = wire::Place::kInline;
  plan.parts[i].data = plan.mapped.emplace_back(std::move(*mapping)).bytes();
  plan.fds[i].reset();
  plan.inline_bytes += plan.parts[i].bytes;
  return {};
}

Result<void> put_in_fd(Plan& plan, std::size_t i) {
  auto memfd = ipc::memfd_from("input", plan.parts[i].data);
  if (!memfd) return memfd.error();
  plan.fds[i] = std::make_shared<unique_fd>(std::move(*memfd));
  plan.parts[i].place = wire::Place::kFd;
  plan.parts[i].data = {};
  plan.inline_bytes -= plan.parts[i].bytes;
  return {};
}

// A frame takes 64 descriptors and a bounded number of bytes: the largest parts get the descriptors.
Result<void> fit(Plan& plan, std::size_t places) {
  if (plan.inline_bytes <= kInlineBytesMax && plan.fd_count <= places) return {};
  std::vector<std::size_t> by_size(plan.parts.size());
  std::iota(by_size.begin(), by_size.end(), std::size_t{0});
  std::ranges::sort(by_size, [&](std::size_t a, std::size_t b) { return plan.parts[a].bytes > plan.parts[b].bytes; });
  for (const std::size_t i : by_size) {
    const wire::Part& part = plan.parts[i];
    const bool in_fd = part.place == wire::Place::kFd;
    const bool spill = !in_fd && plan.inline_bytes > kInlineBytesMax && part.bytes >= kSpillBytesMin;
    Result<void> moved;
    if (in_fd || spill) {
      if (places > 0) {
        --places;
        if (spill) moved = put_in_fd(plan, i);
      } else if (in_fd) {
        moved = put_inline(plan, i);
      }
    }
    if (!moved) return moved;
  }
  return {};
}

}  // namespace

Result<void> append_submit(Outgoing& out, std::uint64_t number, const Job& job, std::uint32_t frame_bytes_max) {
  if (job.kind.empty() || job.kind.size() > wire::kKindBytesMax)
    return bad_job("kind", "a kind's name has 1 to 63 bytes");
  if (job.parts.size() > wire::kPartsMax) return bad_job("parts", "a job has at most 1024 parts");
  if (job.options.shared_buffers.size() > wire::kSharedBuffersMax)
    return bad_job("shared_buffers", "a job has at most 16 shared buffers");
  Plan plan;
  for (const Part& part : job.parts) {
    if (auto added = add(plan, part); !added) return added;
  }
  if (auto fitted = fit(plan, wire::kFrameFdsMax - (job.output_file ? 1 : 0)); !fitted) return fitted;
  std::vector<SharedFd> fds;
  for (SharedFd& fd : plan.fds) {
    if (fd != nullptr) fds.push_back(std::move(fd));
  }
  wire::JobOptions options = job.options;
  options.want_progress = options.want_progress || job.on_progress;
  options.output_file = job.output_file != nullptr;
  options.stream = options.stream || job.on_bytes;
  if (job.output_file) fds.push_back(job.output_file);  // the last
  const auto fd_count = static_cast<std::uint16_t>(fds.size());
  wire::Buffer& buffer = out.frame(std::move(fds));
  const std::size_t before = buffer.size();
  wire::FrameBuilder frame(buffer, wire::FrameType::kSubmit, number, fd_count);
  wire::encode_submit_head(frame.body(), job.kind, options);
  wire::encode_job_body(frame.body(), job.params_json, plan.parts);
  frame.finish();
  const std::size_t body_bytes = buffer.size() - before - wire::kHeaderBytes;
  if (body_bytes <= frame_bytes_max) return {};
  out.take_back(before);
  return Error{
      .code = ErrorCode::kTooLarge,
      .message = fmt::format("the job's parameters and small parts have {} bytes; the server takes {} in a frame "
                             "(limits.frame_bytes_max); send fewer, larger parts",
                             body_bytes, frame_bytes_max)};
}

Result<JobResult> read_result(ipc::ByteSpan body, std::vector<unique_fd> fds, std::vector<wire::Part>& scratch) {
  const auto broken = [](std::string_view what) {
    return Error{.code = ErrorCode::kProtocolError,
                 .message = fmt::format("the server's result can't be trusted: {}", what)};
  };
  const auto view = wire::decode_result(body);
  if (!view) return broken(view.error().message);
  if (auto decoded = wire::decode_parts(view->parts, scratch); !decoded) return broken(decoded.error().message);
  JobResult result{.parts = {}, .info = view->info};
  result.parts.reserve(scratch.size());
  std::size_t next_fd = 0;
  for (const wire::Part& part : scratch) {
    if (part.place == wire::Place::kElsewhere) {
      result.parts.push_back(ResultPart::elsewhere(std::string(part.name), part.bytes));
      continue;
    }
    if (part.place == wire::Place::kInline) {
      result.parts.emplace_back(std::string(part.name), std::vector<std::byte>(part.data.begin(), part.data.end()));
      continue;
    }
    if (next_fd == fds.size()) return broken("a descriptor is missing");
    unique_fd fd = std::move(fds[next_fd++]);
    const auto bytes = ipc::sealed_size(fd.get());
    if (!bytes || *bytes != part.bytes) return broken("a descriptor is no sealed memfd of the size it should have");
    auto mapping = ipc::Mapping::map(fd.get(), *bytes, ipc::Access::kReadOnly);
    if (!mapping) return mapping.error();
    result.parts.emplace_back(std::string(part.name), std::move(fd), std::move(*mapping));
  }
  return result;
}

}  // namespace quern::client
