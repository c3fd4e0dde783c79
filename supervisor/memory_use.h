// What a process occupies, from proc(5).
#pragma once

#include <sys/types.h>

#include <cstdint>

namespace quern::supervisor {

// Resident bytes; 0 when the process is gone or may not be looked at.
[[nodiscard]] std::uint64_t resident_bytes(pid_t pid) noexcept;

}  // namespace quern::supervisor
