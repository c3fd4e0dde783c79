#include "supervisor/body_stream.h"

#include <errno.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "ipc/memfd.h"

namespace quern::supervisor {
namespace {

// The server's shortage, not the request's fault: it may succeed later.
Error short_of(std::string_view what, const Error& reason) {
  return Error{.code = ErrorCode::kBusy,
               .message = "the server is short of " + std::string(what) + " for this payload: " + reason.message};
}

}  // namespace

Result<void> BodyStream::keep() {
  auto memfd = ipc::create_memfd("job-body", 0);
  if (!memfd) return short_of("descriptors or memory", memfd.error());
  memfd_ = std::move(*memfd);
  return {};
}

Result<std::size_t> BodyStream::take(ipc::ByteSpan came) {
  const ipc::ByteSpan mine = came.first(std::min<std::uint64_t>(came.size(), missing_));
  std::uint64_t at = bytes_ - missing_;
  ipc::ByteSpan rest = memfd_ ? mine : ipc::ByteSpan{};
  while (!rest.empty()) {
    const ssize_t written = ::pwrite(memfd_.get(), rest.data(), rest.size(), static_cast<off_t>(at));
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return short_of("memory", system_error("pwrite", "job-body", errno));
    rest = rest.subspan(static_cast<std::size_t>(written));
    at += static_cast<std::uint64_t>(written);
  }
  missing_ -= mine.size();
  return mine.size();
}

Result<unique_fd> BodyStream::finish() {
  if (auto sealed = ipc::seal_contents(memfd_.get()); !sealed) return sealed.error();
  return std::move(memfd_);
}

}  // namespace quern::supervisor
