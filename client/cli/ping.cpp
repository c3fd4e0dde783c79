#include "client/cli/ping.h"

#include <poll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>

#include "client/client.h"

namespace quern::cli {
namespace {

using Clock = std::chrono::steady_clock;

// The nearest ancestor that exists: where the next missing directory or socket will appear.
std::filesystem::path nearest_existing(std::filesystem::path path) {
  while (!path.empty() && path != path.root_path() && !std::filesystem::exists(path)) path = path.parent_path();
  return path.empty() ? std::filesystem::path(".") : path;
}

}  // namespace

Result<void> ping(const std::string& socket_path, std::chrono::milliseconds wait) {
  const auto deadline = Clock::now() + wait;
  for (;;) {
    // watch first, then look: what appears in between is not missed
    const unique_fd changes(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
    const std::filesystem::path parent = std::filesystem::path(socket_path).parent_path();
    (void)::inotify_add_watch(changes.get(), nearest_existing(parent).c_str(), IN_CREATE | IN_MOVED_TO | IN_ATTRIB);
    auto answered = client::Client({.socket_path = socket_path, .name = "quern ping"}).ping();
    if (answered || answered.error().code != ErrorCode::kUnreachable) return answered;
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
    if (left <= 0) return answered;
    pollfd watch{.fd = changes.get(), .events = POLLIN, .revents = 0};
    // bind comes before listen: between the two a connection is refused and no event follows
    constexpr long kLookAgainMs = 50;
    (void)::poll(&watch, 1, static_cast<int>(std::min<long>(left, kLookAgainMs)));
  }
}

}  // namespace quern::cli
