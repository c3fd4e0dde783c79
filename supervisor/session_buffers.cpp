// The part of Session that deals in shared memory and in files of the client's.
#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/socket.h>

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
  std::vector<unique_fd> fds = take_fds(header.fd_count);
  if (!request) return request.error();
  if (request->op == wire::BufferOp::kRelease) {
    const auto at = buffers_.find(request->id);  // one that is gone already was released before
    if (at != buffers_.end() && --at->second.times == 0) buffers_.erase(at);
    return {};
  }
  auto buffer = take_buffer(*request, std::move(fds));
  if (!buffer) {
    send_error(header.request_id, buffer.error());
    return {};
  }
  const std::uint64_t id = (*buffer)->id;
  send_attached(header.request_id, **buffer, request->op == wire::BufferOp::kAttach);
  const auto [at, fresh] = buffers_.try_emplace(id, HeldBuffer{std::move(*buffer)});
  if (!fresh) ++at->second.times;
  return {};
}

Result<BufferRef> Session::take_buffer(const wire::BufferRequest& request, std::vector<unique_fd> fds) {
  if (buffers_.size() >= limits_.client_buffers_max) {
    return Error{
        .code = ErrorCode::kTooLarge,
        .message = fmt::format("this connection holds {} shared buffers, its limit (limits.client_buffers_max); "
                               "release some",
                               buffers_.size()),
        .field = "buffer"};
  }
  SharedBuffers& all = host_.shared_buffers();
  if (request.op == wire::BufferOp::kAttach) {
    const std::vector<gid_t> groups = groups_of_peer(socket_.native_handle());
    return all.attach(request.name, {.uid = peer_.uid, .groups = groups});
  }
  if (fds.size() != 1) {
    return Error{.code = ErrorCode::kInvalidArgument,
                 .message = "a shared buffer is created from exactly one descriptor",
                 .field = "buffer"};
  }
  return all.create(request, std::move(fds.front()), peer_.uid, now_ns());
}

void Session::send_attached(std::uint64_t request_id, const SharedBuffer& buffer, bool with_memfd) {
  std::vector<unique_fd> fds;
  if (with_memfd) fds.emplace_back(::fcntl(buffer.memfd.get(), F_DUPFD_CLOEXEC, 0));
  if (with_memfd && !fds.front())
    return send_error(request_id, system_error("fcntl(F_DUPFD_CLOEXEC)", "buffer", errno));
  const auto fd_count = static_cast<std::uint16_t>(fds.size());
  wire::FrameBuilder frame(out_.frame(64, std::move(fds)), wire::FrameType::kAttached, request_id, fd_count);
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

// The first `count` descriptors that came; the last of them into `last`, if that is wanted. The others should be
// memory: what is not is closed, where it can't hold us up, and stands here as no descriptor at all.
std::vector<unique_fd> Session::take_fds(std::size_t count, ForeignFd* last) {
  std::vector<unique_fd> fds = in_.take_fds(count);
  if (last != nullptr && !fds.empty()) {
    *last = ForeignFd(std::move(fds.back()), host_.closer(), peer_.uid);
    fds.pop_back();
  }
  for (unique_fd& fd : fds) {
    if (fd && FdCloser::may_hang(fd.get())) host_.closer().close(std::move(fd), peer_.uid);
  }
  return fds;
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
