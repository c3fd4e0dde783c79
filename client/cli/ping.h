// `quern ping [--wait-ms N]`: is the server there? With a bound, waits until it is.
#pragma once

#include <chrono>
#include <string>

#include "common/error.h"

namespace quern::cli {

// Watches the socket's directory (inotify(7)), so that the answer comes the moment the server listens.
[[nodiscard]] Result<void> ping(const std::string& socket_path, std::chrono::milliseconds wait);

}  // namespace quern::cli
