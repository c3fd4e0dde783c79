#include "ipc/fd_passing.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <cstring>
#include <utility>

namespace quern::ipc {
namespace {

// Room for one SCM_RIGHTS message of kMessageFdsMax descriptors, aligned as CMSG_FIRSTHDR wants it.
union ControlBuffer {
  cmsghdr align;
  char bytes[CMSG_SPACE(sizeof(int) * kMessageFdsMax)];
};

}  // namespace

Result<IoResult> send_with_fds(int socket, ByteSpan bytes, std::span<const int> fds) {
  if (fds.size() > kMessageFdsMax) {
    return Error{.code = ErrorCode::kTooLarge, .message = "more than 128 descriptors in one message"};
  }
  iovec iov{.iov_base = const_cast<std::byte*>(bytes.data()), .iov_len = bytes.size()};
  msghdr message{};
  message.msg_iov = &iov;
  message.msg_iovlen = 1;
  ControlBuffer control{};
  if (!fds.empty()) {
    message.msg_control = control.bytes;
    message.msg_controllen = CMSG_SPACE(fds.size_bytes());
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(fds.size_bytes());
    std::memcpy(CMSG_DATA(header), fds.data(), fds.size_bytes());
  }
  for (;;) {
    const ssize_t sent = ::sendmsg(socket, &message, MSG_NOSIGNAL);
    if (sent >= 0) return IoResult{IoStatus::kDone, static_cast<std::size_t>(sent)};
    if (errno == EINTR) continue;
    if (errno == EAGAIN || errno == EWOULDBLOCK) return IoResult{IoStatus::kWouldBlock, 0};
    if (errno == EPIPE || errno == ECONNRESET || errno == ENOTCONN) return IoResult{IoStatus::kClosed, 0};
    return system_error("sendmsg", "", errno);
  }
}

Result<IoResult> receive_with_fds(int socket, std::span<std::byte> buffer, std::vector<unique_fd>& fds) {
  iovec iov{.iov_base = buffer.data(), .iov_len = buffer.size()};
  ControlBuffer control;
  msghdr message{};
  message.msg_iov = &iov;
  message.msg_iovlen = 1;
  message.msg_control = control.bytes;
  message.msg_controllen = sizeof control.bytes;
  // A peer that dies with packets unread leaves ECONNRESET, which a packet socket reports once and ahead of what that
  // peer had sent before (net/unix/af_unix.c, unix_release_sock; net/core/datagram.c, __skb_try_recv_datagram).
  bool reset = false;
  ssize_t received = 0;
  do {
    received = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  } while (received < 0 && (errno == EINTR || (errno == ECONNRESET && !std::exchange(reset, true))));
  if (received < 0) {
    if (errno == EAGAIN || errno == EWOULDBLOCK) return IoResult{IoStatus::kWouldBlock, 0};
    if (errno == ECONNRESET) return IoResult{IoStatus::kClosed, 0};
    return system_error("recvmsg", "", errno);
  }
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof(int));
      fds.emplace_back(fd);
    }
  }
  if ((message.msg_flags & (MSG_CTRUNC | MSG_TRUNC)) != 0) {
    return Error{
        .code = ErrorCode::kProtocolError,
        .message = "a message or its descriptors did not fit (too many descriptors, or none left to this process)"};
  }
  if (received == 0) return IoResult{IoStatus::kClosed, 0};
  return IoResult{IoStatus::kDone, static_cast<std::size_t>(received)};
}

}  // namespace quern::ipc
