#include "worker/sdk/describe.h"

#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>
#include <cmath>

namespace quern::sdk {
namespace {

namespace json = boost::json;

std::string_view type_name(ParamType type) {
  switch (type) {
    case ParamType::kString: return "string";
    case ParamType::kInteger: return "integer";
    case ParamType::kNumber: return "number";
    case ParamType::kBoolean: return "boolean";
    case ParamType::kNumbers: return "numbers";
    case ParamType::kList: return "list";
  }
  return "unknown";
}

// 100, not 1E2: a bound of integers is shown as one.
json::value bound(double value) {
  constexpr double kExactMax = 9007199254740992.0;  // 2^53
  if (std::nearbyint(value) == value && std::abs(value) <= kExactMax) return static_cast<std::int64_t>(value);
  return value;
}

json::array describe(const std::vector<ParamSpec>& specs);

json::object describe(const ParamSpec& spec) {
  json::object object{
      {"name", spec.name}, {"type", type_name(spec.type)}, {"help", spec.help}, {"required", spec.required}};
  if (!spec.fallback.is_null()) object["default"] = spec.fallback;
  if (spec.min) object["min"] = bound(*spec.min);
  if (spec.max) object["max"] = bound(*spec.max);
  if (!spec.choices.empty()) {
    json::array choices;
    for (const std::string& choice : spec.choices) choices.emplace_back(choice);
    object["choices"] = std::move(choices);
  }
  if (spec.type != ParamType::kList) return object;
  json::array items;
  for (const ObjectSpec& shape : spec.items) {
    items.push_back(json::object{{"name", shape.name}, {"help", shape.help}, {"params", describe(shape.params)}});
  }
  object["items"] = std::move(items);
  if (!spec.tag.empty()) object["tag"] = spec.tag;
  return object;
}

json::array describe(const std::vector<ParamSpec>& specs) {
  json::array params;
  for (const ParamSpec& spec : specs) params.push_back(describe(spec));
  return params;
}

}  // namespace

std::string describe(const Kind& kind, KindRole role) {
  json::object object{{"name", kind.name},
                      {"summary", kind.summary},
                      {"params", describe(kind.params)},
                      {"input", json::object{{"parts_min", kind.input.parts_min},
                                             {"parts_max", kind.input.parts_max},
                                             {"help", kind.input.help}}},
                      {"shared", json::object{{"buffers_min", kind.shared.buffers_min},
                                              {"buffers_max", kind.shared.buffers_max},
                                              {"help", kind.shared.help}}},
                      {"output", kind.output},
                      {"sensitive", kind.sensitive}};
  if (!kind.output_suffix.empty()) object["output_suffix"] = kind.output_suffix;
  if (role == KindRole::kHealth) object["canary"] = true;
  return json::serialize(object);
}

}  // namespace quern::sdk
