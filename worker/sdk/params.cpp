#include "worker/sdk/params.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <cmath>
#include <utility>

#include "worker/sdk/params_json.h"

namespace quern::sdk {
namespace {

namespace json = boost::json;

[[noreturn]] void refuse(const std::string& message, std::string_view field) {
  throw JobError(JobErrorCode::kInvalidArgument, message, std::string(field));
}

constexpr std::size_t kShownNameBytesMax = 64;  // of a name that a client made up

// Where an object stands among the parameters. Written out only for an error.
struct Place {
  const Place* outer = nullptr;
  std::string_view list{};  // empty: the parameters themselves
  std::size_t index = 0;
  std::string_view shape{};  // what the object is called; empty as long as that is not known
};

// "outputs[1].operations[0]"
std::string path_of(const Place& place) {
  if (place.list.empty()) return {};
  const std::string outer = path_of(*place.outer);
  return fmt::format("{}{}{}[{}]", outer, outer.empty() ? "" : ".", place.list, place.index);
}

// "outputs[1].operations[0].sigma"
std::string path_of(const Place& place, std::string_view name) {
  const std::string object = path_of(place);
  return fmt::format("{}{}{}", object, object.empty() ? "" : ".", name.substr(0, kShownNameBytesMax));
}

bool is_list(const ParamSpec& spec) { return spec.type == ParamType::kNumbers || spec.type == ParamType::kList; }

// The value in a message. Free text is not repeated there: it may be a stored hash, and messages are logged.
std::string show(const ParamSpec& spec, const json::value& value) {
  if (value.is_object()) return "an object";
  if (value.is_array()) return is_list(spec) ? fmt::format("{}", value.get_array().size()) : "a list";
  if (value.is_double()) return fmt::format("{}", value.get_double());  // 80.5; JSON's writer says 8.05E1
  if (!value.is_string()) return json::serialize(value);
  const json::string& text = value.get_string();
  if (spec.type == ParamType::kString && spec.choices.empty()) return fmt::format("{} bytes", text.size());
  return text.size() > 40 ? "a longer string" : json::serialize(value);
}

[[noreturn]] void refuse_value(const Place& place, const ParamSpec& spec, const json::value& value) {
  const std::string path = path_of(place, spec.name);
  refuse(fmt::format("{} must be {} (got {})", path, describe_allowed(spec), show(spec, value)), path);
}

std::string_view type_words(ParamType type) {
  switch (type) {
    case ParamType::kString: return "a string";
    case ParamType::kInteger: return "a whole number";
    case ParamType::kNumber: return "a number";
    case ParamType::kBoolean: return "true or false";
    case ParamType::kNumbers: return "a list of numbers";
    case ParamType::kList: return "a list of objects";
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
    case ParamType::kNumbers:
    case ParamType::kList: return value.is_array();
  }
  return false;
}

bool in_range(const ParamSpec& spec, const json::value& value) {
  double measure = 0;
  if (value.is_string()) {
    measure = static_cast<double>(value.get_string().size());
  } else if (value.is_array()) {
    measure = static_cast<double>(value.get_array().size());
  } else if (value.is_number()) {
    measure = value.to_number<double>();
  } else {
    return true;
  }
  return std::isfinite(measure) && (!spec.min || measure >= *spec.min) && (!spec.max || measure <= *spec.max);
}

bool is_choice(const ParamSpec& spec, const json::value& value) {
  const auto has = [word = std::string_view(value.get_string())](const std::vector<std::string>& words) {
    return std::ranges::find(words, word) != words.end();
  };
  return spec.choices.empty() || has(spec.choices) || has(spec.synonyms);
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

// The known name that `given` is a typing error of, or an empty one.
template <class Spec>
std::string_view nearest_name(std::span<const Spec> specs, std::string_view given) {
  const auto nearest =
      std::ranges::min_element(specs, {}, [&](const Spec& spec) { return difference(given, spec.name); });
  return nearest != specs.end() && difference(given, nearest->name) <= 2 ? nearest->name : std::string_view();
}

template <class Spec>
std::string joined_names(std::span<const Spec> specs) {
  std::vector<std::string_view> names;
  for (const Spec& spec : specs) names.emplace_back(spec.name);
  return fmt::format("{}", fmt::join(names, ", "));
}

[[noreturn]] void refuse_name(const Place& place, std::span<const ParamSpec> specs, std::string_view given) {
  const std::string path = path_of(place, given);
  const auto nearest = nearest_name(specs, given.substr(0, kShownNameBytesMax));
  if (!nearest.empty()) refuse(fmt::format("there is no parameter '{}'; did you mean '{}'?", path, nearest), path);
  refuse(fmt::format("there is no parameter '{}'; {} takes {}", path, place.shape,
                     specs.empty() ? "none" : joined_names(specs)),
         path);
}

json::object parse(std::string_view text, const json::storage_ptr& storage) {
  if (text.size() > kParamsBytesMax)
    refuse("params must be at most 64 KiB of JSON; send data as input parts", "params");
  if (text.empty()) return json::object(storage);
  return parse_params(text, storage);
}

void check_object(json::object& object, std::span<const ParamSpec> specs, std::string_view tag, const Place& place);

// Of the shapes in a list, the one that this object says it has.
const ObjectSpec& shape_of(const json::object& object, const ParamSpec& spec, const Place& place) {
  if (spec.tag.empty()) return spec.items.front();
  const std::span<const ObjectSpec> shapes = spec.items;
  const std::string path = path_of(place, spec.tag);
  const json::value* tag = object.if_contains(spec.tag);
  if (tag == nullptr) refuse(fmt::format("{} is required: one of {}", path, joined_names(shapes)), path);
  const std::string_view word = tag->is_string() ? std::string_view(tag->get_string()) : std::string_view();
  const auto shape = std::ranges::find(shapes, word, &ObjectSpec::name);
  if (shape != shapes.end()) return *shape;
  const ParamSpec words{.name = spec.tag, .help = "", .choices = {"any of them"}};  // for show() to repeat it
  const auto nearest = nearest_name(shapes, word.substr(0, kShownNameBytesMax));
  if (!nearest.empty()) {
    refuse(fmt::format("{} can't be {}; did you mean '{}'?", path, show(words, *tag), nearest), path);
  }
  refuse(fmt::format("{} must be one of {} (got {})", path, joined_names(shapes), show(words, *tag)), path);
}

void check_list(json::array& list, const ParamSpec& spec, const Place& outer) {
  for (std::size_t i = 0; i < list.size(); ++i) {
    Place place{.outer = &outer, .list = spec.name, .index = i};
    if (!list[i].is_object()) {
      const std::string got = list[i].is_array() ? "a list" : show(spec, list[i]);
      refuse(fmt::format("{} must be an object (got {})", path_of(place), got), path_of(place));
    }
    json::object& object = list[i].get_object();
    const ObjectSpec& shape = shape_of(object, spec, place);
    place.shape = shape.name;
    check_object(object, shape.params, spec.tag, place);
  }
}

void check_numbers(const json::array& list, const ParamSpec& spec, const Place& outer) {
  const ParamSpec each{.name = spec.name, .type = ParamType::kNumber, .help = ""};
  for (std::size_t i = 0; i < list.size(); ++i) {
    if (list[i].is_number() && in_range(each, list[i])) continue;
    const std::string path = path_of({.outer = &outer, .list = spec.name, .index = i});
    refuse(fmt::format("{} must be a number (got {})", path, show(each, list[i])), path);
  }
}

void check_value(json::value& value, const ParamSpec& spec, const Place& place) {
  if (!has_type(spec.type, value) || !in_range(spec, value)) refuse_value(place, spec, value);
  if (spec.type == ParamType::kString && !is_choice(spec, value)) refuse_value(place, spec, value);
  if (spec.type == ParamType::kInteger && value.is_double()) value = static_cast<std::int64_t>(value.get_double());
  if (spec.type == ParamType::kNumbers) check_numbers(value.get_array(), spec, place);
  if (spec.type == ParamType::kList) check_list(value.get_array(), spec, place);
}

// `tag`: the member that named the object's shape, or empty.
void check_object(json::object& object, std::span<const ParamSpec> specs, std::string_view tag, const Place& place) {
  for (auto& [key, value] : object) {
    const std::string_view given = key;
    if (!tag.empty() && given == tag) continue;
    const auto spec = std::ranges::find(specs, given, &ParamSpec::name);
    if (spec == specs.end()) refuse_name(place, specs, given);
    check_value(value, *spec, place);
  }
  for (const ParamSpec& spec : specs) {
    if (object.contains(spec.name)) continue;
    if (spec.required) {
      const std::string path = path_of(place, spec.name);
      refuse(fmt::format("{} is required: {}", path, describe_allowed(spec)), path);
    }
    if (spec.fallback.is_null()) continue;
    json::value& filled = object.emplace(spec.name, spec.fallback).first->value();
    if (spec.type == ParamType::kList) check_list(filled.get_array(), spec, place);  // its objects have fallbacks too
  }
}

}  // namespace

std::string describe_allowed(const ParamSpec& spec) {
  if (!spec.choices.empty()) return fmt::format("one of {}", fmt::join(spec.choices, ", "));
  std::string words(type_words(spec.type));
  if (spec.type == ParamType::kString && (spec.min || spec.max)) words += " with a length in bytes";
  if (is_list(spec) && (spec.min || spec.max)) words += " with a length";
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
  check_object(params, specs, {}, {.shape = "this kind"});
  return params;
}

}  // namespace quern::sdk
