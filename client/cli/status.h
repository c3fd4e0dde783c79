// What `quern status`, and the commands that change a pool, show to people.
#pragma once

#include <string_view>

#include "common/error.h"

namespace quern::cli {

// Both throw what Boost.JSON throws when a member that every server sends is missing.
[[nodiscard]] Result<void> print_status(std::string_view document);
// The pool as it is after an operator's request.
[[nodiscard]] Result<void> print_pool_answer(std::string_view document);

}  // namespace quern::cli
