// sendmsg/recvmsg with SCM_RIGHTS (unix(7)), wrapped once.
//
// Received descriptors are owned from the moment the kernel hands them over and are close-on-exec.
// Both calls are non-blocking in effect when the socket is, retry EINTR, and never raise SIGPIPE.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "common/error.h"
#include "common/unique_fd.h"
#include "ipc/bytes.h"

namespace quern::ipc {

inline constexpr std::size_t kMessageFdsMax = 128;

enum class IoStatus { kDone, kWouldBlock, kClosed };

struct IoResult {
  IoStatus status = IoStatus::kDone;
  std::size_t bytes = 0;
};

// Sends `bytes` (part of them on a stream socket) with `fds` attached to the first byte. The
// descriptors are borrowed: the kernel duplicates them. At most kMessageFdsMax. kClosed: the peer is
// gone (EPIPE, ECONNRESET). Any other failure is an Error.
[[nodiscard]] Result<IoResult> send_with_fds(int socket, ByteSpan bytes, std::span<const int> fds = {});

// Receives into `buffer`; appends descriptors to `fds`. kClosed on end of stream: what a peer sent before it died comes
// first, whatever it had left unread itself. Descriptors the process had no room for, or a truncated packet, are an
// Error (kProtocolError).
[[nodiscard]] Result<IoResult> receive_with_fds(int socket, std::span<std::byte> buffer, std::vector<unique_fd>& fds);

}  // namespace quern::ipc
