#include "common/sizes.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <limits>

namespace quern {
namespace {

struct Unit {
  std::string_view name;
  unsigned shift;
};
constexpr std::array<Unit, 4> kUnits{{{"GiB", 30}, {"MiB", 20}, {"KiB", 10}, {"B", 0}}};

}  // namespace

Result<std::uint64_t> parse_size(std::string_view text) {
  const Error bad{
      .code = ErrorCode::kInvalidArgument,
      .message = fmt::format("'{}' is not a size; write bytes, or a whole number of KiB, MiB or GiB", text)};
  std::uint64_t number = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (failure != std::errc{}) return bad;
  std::string_view rest = text.substr(static_cast<std::size_t>(end - text.data()));
  while (rest.starts_with(' ')) rest.remove_prefix(1);
  if (rest.empty()) return number;
  for (const Unit& unit : kUnits) {
    if (rest != unit.name) continue;
    if (number > std::numeric_limits<std::uint64_t>::max() >> unit.shift) return bad;
    return number << unit.shift;
  }
  return bad;
}

std::string format_size(std::uint64_t bytes) {
  for (const Unit& unit : kUnits) {
    const std::uint64_t one = std::uint64_t{1} << unit.shift;
    if (bytes < one || unit.shift == 0) continue;
    if (bytes % one == 0) return fmt::format("{}{}", bytes / one, unit.name);
    return fmt::format("{:.1f}{}", static_cast<double>(bytes) / static_cast<double>(one), unit.name);
  }
  return fmt::format("{}B", bytes);
}

}  // namespace quern
