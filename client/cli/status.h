// `quern status`: the server's status document as a table for people.
#pragma once

#include <string_view>

#include "common/error.h"

namespace quern::cli {

[[nodiscard]] Result<void> print_status(std::string_view document);

}  // namespace quern::cli
