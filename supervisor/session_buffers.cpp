// The part of Session that deals in shared memory and in files of the client's.
#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/socket.h>

#include <algorithm>
#include <utility>

#include "common/clock.h"
#include "supervisor/session.h"

namespace quern::supervisor {
namespace {

// Of the process that connected, by the kernel's word; its primary group and the others.
std::vector<gid_t> groups_of_peer(int socket) {
  ucred credentials{};
  socklen_t bytes = sizeof credentials;
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &bytes) != 0) return {};
  std::vector<gid_t> groups(64);
  for (;;) {
    bytes = static_cast<socklen_t>(groups.size() * sizeof(gid_t));
    if (::getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, groups.data(), &bytes) == 0) break;
    if (errno != ERANGE) return {credentials.gid};
    groups.resize(bytes / sizeof(gid_t));
  }
  groups.resize(bytes / sizeof(gid_t));
  groups.push_back(credentials.gid);
  return groups;
}

}  // namespace

// An Error is a protocol error, as everywhere in handle().
Result<void> Session::on_buffer_request(const wire::FrameHeader& header, ipc::ByteSpan body) {
  const auto request = wire::decode_buffer_request(body);
  FrameFds came = take_fds(header.fd_count, false);
  if (!request) return request.error();
  if (request->op == wire::BufferOp::kRelease) {
    const auto at = buffers_.find(request->id);  // one that is gone already was released before
    if (at != buffers_.end() && --at->second.times == 0) buffers_.erase(at);
    return {};
  }
  const bool attached = request->op == wire::BufferOp::kAttach;
  auto buffer = attached ? attach_buffer(*request) : take_buffer(*request, std::move(came));
  if (!buffer) {
    send_error(header.request_id, buffer.error());
    return {};
  }
  const std::uint64_t id = (*buffer)->id;
  send_attached(header.request_id, **buffer, attached);
  const auto [at, fresh] = buffers_.try_emplace(id, HeldBuffer{std::move(*buffer), received_.another()});
  if (!fresh) {
    ++at->second.times;
  } else if (attached) {
    at->second.charge.add({.descriptors = 1});
  }
  return {};
}

namespace {

Error too_many_buffers(std::size_t held) {
  return Error{.code = ErrorCode::kTooLarge,
               .message = fmt::format("this connection holds {} shared buffers, its limit (limits.client_buffers_max); "
                                      "release some",
                                      held),
               .field = "buffer"};
}

}  // namespace

Result<BufferRef> Session::attach_buffer(const wire::BufferRequest& request) {
  if (buffers_.size() >= limits_.client_buffers_max) return too_many_buffers(buffers_.size());
  // the one that is held, and the one that goes to the client
  if (auto refused = unread_.another().refusal({.descriptors = 2})) return std::move(*refused);
  const std::vector<gid_t> groups = groups_of_peer(socket_.native_handle());
  return host_.shared_buffers().attach(request.name, {.uid = peer_.uid, .groups = groups});
}

Result<BufferRef> Session::take_buffer(const wire::BufferRequest& request, FrameFds came) {
  if (buffers_.size() >= limits_.client_buffers_max) return too_many_buffers(buffers_.size());
  if (came.dropped > 0) return came.charge.dropped(came.dropped);
  if (came.fds.size() != 1) {
    return Error{.code = ErrorCode::kInvalidArgument,
                 .message = "a shared buffer is created from exactly one descriptor",
                 .field = "buffer"};
  }
  return host_.shared_buffers().create(request, std::move(came.fds.front()), peer_.uid, now_ns(),
                                       std::move(came.charge));
}

void Session::send_attached(std::uint64_t request_id, const SharedBuffer& buffer, bool with_memfd) {
  std::vector<unique_fd> fds;
  if (with_memfd) fds.emplace_back(::fcntl(buffer.memfd.get(), F_DUPFD_CLOEXEC, 0));
  if (with_memfd && !fds.front())
    return send_error(request_id, system_error("fcntl(F_DUPFD_CLOEXEC)", "buffer", errno));
  const auto fd_count = static_cast<std::uint16_t>(fds.size());
  wire::FrameBuilder frame(out_.frame(64, std::move(fds), false, with_memfd ? buffer.bytes : 0),
                           wire::FrameType::kAttached, request_id, fd_count);
  wire::encode_attached(frame.body(), {.id = buffer.id, .bytes = buffer.bytes});
  frame.finish();
  out_ready_.notify_all();
}

// The buffers that a job names, if this connection holds them.
Result<std::vector<BufferRef>> Session::shared_for(const wire::JobOptions& options) const {
  std::vector<BufferRef> shared;
  for (const std::uint64_t id : options.shared_buffers) {
    const auto at = buffers_.find(id);
    if (at == buffers_.end()) {
      return Error{
          .code = ErrorCode::kNotFound,
          .message = fmt::format("this connection holds no shared buffer {:x}; create or attach it first, again "
                                 "after the connection broke",
                                 id),
          .field = "shared_buffers"};
    }
    shared.push_back(at->second.buffer.for_job());
  }
  return shared;
}

// The first `count` descriptors that came; the last of them is an output file, if there is one. The others should be
// memory: what is not is closed, where it can't hold us up, and stands here as no descriptor at all.
Session::FrameFds Session::take_fds(std::size_t count, bool output_file) {
  FrameFds came{.fds = in_.take_fds(count)};
  came.missing = count - came.fds.size();
  came.dropped = static_cast<std::size_t>(std::ranges::count(came.fds, false, &unique_fd::valid));
  came.charge = received_.split({.descriptors = came.fds.size() - came.dropped});
  if (output_file && !came.fds.empty()) {
    came.output_file = ForeignFd(std::move(came.fds.back()), host_.closer(), peer_.uid);
    came.fds.pop_back();
  }
  for (unique_fd& fd : came.fds) {
    if (fd && FdCloser::may_hang(fd.get())) host_.closer().close(std::move(fd), peer_.uid);
  }
  return came;
}

// Only its flags are looked at here: a file system that hangs holds up whoever asks about the file, and that shall be
// the worker.
Result<void> Session::check_output_file(const ForeignFd& file) {
  const auto wrong = [](std::string_view what) {
    return Error{.code = ErrorCode::kInvalidArgument,
                 .message = fmt::format("the output file {}", what),
                 .field = "output_file"};
  };
  if (!file) return wrong("is missing: the frame has no descriptor for it");
  const int flags = ::fcntl(file.get(), F_GETFL);
  if (flags < 0) return system_error("fcntl(F_GETFL)", "output file", errno);
  const int access = flags & O_ACCMODE;
  if ((flags & O_PATH) != 0 || (access != O_WRONLY && access != O_RDWR)) return wrong("is not open for writing");
  if ((flags & O_APPEND) != 0) return wrong("is open for appending; it is written from its beginning");
  return {};
}

}  // namespace quern::supervisor
