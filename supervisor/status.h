// The status document: what `quern status --json` prints. docs/operations.md describes each field.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "supervisor/pool.h"

namespace quern::supervisor {

struct ServerFacts {
  std::string_view state;  // "running", "stopping"
  std::int64_t started_ns = 0;
  std::size_t clients = 0;
};

[[nodiscard]] std::string status_document(const ServerFacts& server, std::span<const std::unique_ptr<Pool>> pools);

// One pool's word for its state: running, paused, draining, degraded, starting, stopping.
[[nodiscard]] std::string_view state_word(const Pool& pool) noexcept;

}  // namespace quern::supervisor
