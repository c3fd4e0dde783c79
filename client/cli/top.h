// `quern top`: pools, workers and clients, refreshed.
#pragma once

#include <boost/json/object.hpp>
#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "client/cli/terminal.h"
#include "common/error.h"

namespace quern::cli {

// The picture of one moment; `previous` (null: none) is a status of `elapsed` before, for rates. Pure. Throws
// what Boost.JSON throws when a member that every server sends is missing.
[[nodiscard]] std::vector<std::string> render_top(const boost::json::object& status,
                                                  const boost::json::object* previous,
                                                  std::chrono::milliseconds elapsed, TerminalSize size);

struct TopOptions {
  std::chrono::milliseconds interval{1000};
  bool once = false;  // also when standard output is no terminal
};

// Until q or a signal. `ask` fetches the status document; while it fails, top says so and asks again.
[[nodiscard]] Result<void> run_top(const TopOptions& options, const std::function<Result<std::string>()>& ask);

}  // namespace quern::cli
