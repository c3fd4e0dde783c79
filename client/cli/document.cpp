#include "client/cli/document.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <boost/json/parse.hpp>
#include <ctime>
#include <utility>

namespace quern::cli {

namespace json = boost::json;

Result<json::object> parse_object(std::string_view document) {
  boost::system::error_code failure;
  json::value parsed = json::parse(document, failure);
  if (failure || !parsed.is_object()) {
    return Error{.code = ErrorCode::kProtocolError, .message = "the server's answer is no JSON object"};
  }
  return std::move(parsed.get_object());
}

std::int64_t number(const json::object& object, std::string_view key) {
  return object.at(key).to_number<std::int64_t>();
}

std::string_view text(const json::object& object, std::string_view key) { return object.at(key).as_string(); }

std::string duration(std::int64_t ms) {
  const std::int64_t seconds = ms / 1000;
  if (seconds < 60) return fmt::format("{}.{}s", seconds, ms % 1000 / 100);
  if (seconds < 3600) return fmt::format("{}m{:02}s", seconds / 60, seconds % 60);
  return fmt::format("{}h{:02}m", seconds / 3600, seconds / 60 % 60);
}

std::string size_text(std::int64_t bytes) {
  if (bytes < 1024) return fmt::format("{} B", bytes);
  double amount = static_cast<double>(bytes) / 1024;
  for (const char* unit : {"KiB", "MiB", "GiB"}) {
    if (amount < 1024) return fmt::format("{:.1f} {}", amount, unit);
    amount /= 1024;
  }
  return fmt::format("{:.1f} TiB", amount);
}

std::string memory_text(const json::object& pool) {
  if (number(pool, "memory_budget_bytes") == 0) return "-";
  const std::int64_t waiting = number(pool, "waiting_for_memory");
  return fmt::format("{}/{}{}", size_text(number(pool, "memory_reserved_bytes")),
                     size_text(number(pool, "memory_budget_bytes")),
                     waiting == 0 ? "" : fmt::format(", {} wait", waiting));
}

std::string utc_time(std::int64_t unix_ms) {
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(static_cast<std::time_t>(unix_ms / 1000)));
}

}  // namespace quern::cli
