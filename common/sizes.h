// Sizes in bytes as people write them: "4096", "64KiB", "256MiB", "2GiB". Binary units only: a limit
// that is 7% off is worse than a longer unit.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "common/error.h"

namespace quern {

[[nodiscard]] Result<std::uint64_t> parse_size(std::string_view text);

// In the largest unit that fits, whole or with one digit after the point: "64KiB", "1.5MiB".
[[nodiscard]] std::string format_size(std::uint64_t bytes);

}  // namespace quern
