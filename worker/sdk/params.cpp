#include "worker/sdk/params.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <cmath>
#include <utility>

#include "worker/sdk/flat_object.h"

namespace quern::sdk {
namespace {

namespace json = boost::json;

[[noreturn]] void refuse(const std::string& message, std::string_view field) {
  throw JobError(JobErrorCode::kInvalidArgument, message, std::string(field));
}

// The value in a message. Free text is not repeated there: it may be a stored hash, and messages are logged.
std::string show(const ParamSpec& spec, const json::value& value) {
  if (value.is_object()) return "an object";
  if (value.is_array()) return "a list";
  if (value.is_double()) return fmt::format("{}", value.get_double());  // 80.5; JSON's writer says 8.05E1
  if (!value.is_string()) return json::serialize(value);
  const json::string& text = value.get_string();
  if (spec.type == ParamType::kString && spec.choices.empty()) return fmt::format("{} bytes", text.size());
  return text.size() > 40 ? "a longer string" : json::serialize(value);
}

[[noreturn]] void refuse_value(const ParamSpec& spec, const json::value& value) {
  refuse(fmt::format("{} must be {} (got {})", spec.name, describe_allowed(spec), show(spec, value)), spec.name);
}

std::string_view type_words(ParamType type) {
  switch (type) {
    case ParamType::kString: return "a string";
    case ParamType::kInteger: return "a whole number";
    case ParamType::kNumber: return "a number";
    case ParamType::kBoolean: return "true or false";
  }
  return "a value";
}

// JSON has one kind of number: 80, 80.0 and 8e1 are all the integer 80. (Boost.JSON's uint64 is a number
// that int64 can't hold.)
bool integral(const json::value& value) {
  if (value.is_int64()) return true;
  constexpr double kExactMax = 9007199254740992.0;  // 2^53: beyond it doubles skip integers
  return value.is_double() && std::nearbyint(value.get_double()) == value.get_double() &&
         std::abs(value.get_double()) <= kExactMax;
}

bool has_type(ParamType type, const json::value& value) {
  switch (type) {
    case ParamType::kString: return value.is_string();
    case ParamType::kInteger: return integral(value);
    case ParamType::kNumber: return value.is_number();
    case ParamType::kBoolean: return value.is_bool();
  }
  return false;
}

bool in_range(const ParamSpec& spec, const json::value& value) {
  double measure = 0;
  if (value.is_string()) {
    measure = static_cast<double>(value.get_string().size());
  } else if (value.is_number()) {
    measure = value.to_number<double>();
  } else {
    return true;
  }
  return std::isfinite(measure) && (!spec.min || measure >= *spec.min) && (!spec.max || measure <= *spec.max);
}

bool is_choice(const ParamSpec& spec, const json::value& value) {
  return spec.choices.empty() ||
         std::ranges::find(spec.choices, std::string_view(value.get_string())) != spec.choices.end();
}

// How many letters stand differently; enough to find a typing error among a dozen names.
std::size_t difference(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j < row.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t substituted = diagonal + (a[i - 1] == b[j - 1] ? 0U : 1U);
      diagonal = std::exchange(row[j], std::min({row[j] + 1, row[j - 1] + 1, substituted}));
    }
  }
  return row.back();
}

[[noreturn]] void refuse_name(std::span<const ParamSpec> specs, std::string_view given) {
  const std::string shown(given.substr(0, 64));
  const auto nearest =
      std::ranges::min_element(specs, {}, [&](const ParamSpec& spec) { return difference(shown, spec.name); });
  if (nearest != specs.end() && difference(shown, nearest->name) <= 2) {
    refuse(fmt::format("there is no parameter '{}'; did you mean '{}'?", shown, nearest->name), shown);
  }
  std::vector<std::string_view> names;
  for (const ParamSpec& spec : specs) names.emplace_back(spec.name);
  refuse(names.empty() ? fmt::format("there is no parameter '{}'; this kind takes none", shown)
                       : fmt::format("there is no parameter '{}'; this kind takes {}", shown, fmt::join(names, ", ")),
         shown);
}

json::object parse(std::string_view text, const json::storage_ptr& storage) {
  if (text.size() > kParamsBytesMax)
    refuse("params must be at most 64 KiB of JSON; send data as input parts", "params");
  if (text.empty()) return json::object(storage);
  return parse_flat_object(text, storage);
}

}  // namespace

std::string describe_allowed(const ParamSpec& spec) {
  if (!spec.choices.empty()) return fmt::format("one of {}", fmt::join(spec.choices, ", "));
  std::string words(type_words(spec.type));
  if (spec.type == ParamType::kString && (spec.min || spec.max)) words += " with a length in bytes";
  if (spec.min && spec.max) {
    words += fmt::format(" between {} and {}", *spec.min, *spec.max);
  } else if (spec.min) {
    words += fmt::format(" of at least {}", *spec.min);
  } else if (spec.max) {
    words += fmt::format(" of at most {}", *spec.max);
  }
  return words;
}

json::object check_params(std::span<const ParamSpec> specs, std::string_view text, const json::storage_ptr& storage) {
  json::object params = parse(text, storage);
  for (auto& [key, value] : params) {
    const std::string_view given = key;
    const auto spec = std::ranges::find(specs, given, &ParamSpec::name);
    if (spec == specs.end()) refuse_name(specs, given);
    if (!has_type(spec->type, value) || !in_range(*spec, value)) refuse_value(*spec, value);
    if (spec->type == ParamType::kString && !is_choice(*spec, value)) refuse_value(*spec, value);
    if (spec->type == ParamType::kInteger && value.is_double()) value = static_cast<std::int64_t>(value.get_double());
  }
  for (const ParamSpec& spec : specs) {
    if (params.contains(spec.name)) continue;
    if (spec.required) refuse(fmt::format("{} is required: {}", spec.name, describe_allowed(spec)), spec.name);
    if (!spec.fallback.is_null()) params.emplace(spec.name, spec.fallback);
  }
  return params;
}

}  // namespace quern::sdk
