// The server's JSON documents, as the command line reads and words them.
#pragma once

#include <boost/json/object.hpp>
#include <cstdint>
#include <string>
#include <string_view>

#include "common/error.h"

namespace quern::cli {

[[nodiscard]] Result<boost::json::object> parse_object(std::string_view document);

// A member that every server sends; throws what Boost.JSON throws when it is missing.
[[nodiscard]] std::int64_t number(const boost::json::object& object, std::string_view key);
[[nodiscard]] std::string_view text(const boost::json::object& object, std::string_view key);

// "4.2s", "3m05s", "2h07m"
[[nodiscard]] std::string duration(std::int64_t ms);
// "812 B", "1.5 MiB"
[[nodiscard]] std::string size_text(std::int64_t bytes);
// What a pool's jobs have reserved, of how much, and how many wait for some: "1.5 GiB/4.0 GiB, 3 wait"; "-" without a
// budget.
[[nodiscard]] std::string memory_text(const boost::json::object& pool);
// "2026-01-15T09:30:01Z"
[[nodiscard]] std::string utc_time(std::int64_t unix_ms);

}  // namespace quern::cli
