// What a client sends to a worker through the supervisor, which does not look inside: the job body, its
// parameters and its parts, decoded in a worker's order.
//
// Oracle: parameters that pass have known names, each of its type and range, with every fallback filled
// in, and so have the objects in their lists; they pass again as they stand; those that don't are refused as the
// client's fault, naming a field; parts are views into the body.
//
// Input: the job body; as it stands, it is also read as parameters alone.
#include <boost/json/serialize.hpp>
#include <cmath>
#include <vector>

#include "ipc/wire.h"
#include "tests/fuzz/input.h"
#include "worker/sdk/params.h"

namespace quern::fuzz {
namespace {

namespace json = boost::json;

sdk::ParamSpec steps() {
  return {.name = "steps",
          .type = sdk::ParamType::kList,
          .help = "",
          .max = 5,
          .items =
              {{.name = "blur",
                .help = "",
                .params = {{.name = "sigma", .type = sdk::ParamType::kNumber, .help = "", .required = true, .min = 0.3},
                           {.name = "kernel", .type = sdk::ParamType::kNumbers, .help = "", .min = 1, .max = 9}}},
               {.name = "flip", .help = "", .params = {}}},
          .tag = "op"};
}

// A parameter of each type, with and without bounds, choices and fallbacks.
const std::vector<sdk::ParamSpec>& specs() {
  static const std::vector<sdk::ParamSpec> all = {
      {.name = "width", .type = sdk::ParamType::kInteger, .help = "", .min = 1, .max = 16384},
      {.name = "quality", .type = sdk::ParamType::kInteger, .help = "", .fallback = 80, .min = 1, .max = 100},
      {.name = "seed", .type = sdk::ParamType::kInteger, .help = ""},
      {.name = "sigma", .type = sdk::ParamType::kNumber, .help = "", .fallback = 1.5, .min = 0.1, .max = 50},
      {.name = "gain", .type = sdk::ParamType::kNumber, .help = ""},
      {.name = "format",
       .type = sdk::ParamType::kString,
       .help = "",
       .fallback = "jpeg",
       .choices = {"jpeg", "png", "webp"}},
      {.name = "salt", .type = sdk::ParamType::kString, .help = "", .min = 8, .max = 64},
      {.name = "note", .type = sdk::ParamType::kString, .help = ""},
      {.name = "strip", .type = sdk::ParamType::kBoolean, .help = "", .fallback = true},
      {.name = "outputs",
       .type = sdk::ParamType::kList,
       .help = "",
       .items = {{.name = "output", .help = "", .params = {{.name = "name", .help = "", .fallback = "out"}, steps()}}}},
      steps(),
  };
  return all;
}

bool has_type(const sdk::ParamSpec& spec, const json::value& value) {
  switch (spec.type) {
    case sdk::ParamType::kString: return value.is_string();
    case sdk::ParamType::kInteger: return value.is_int64();
    case sdk::ParamType::kNumber: return value.is_number();
    case sdk::ParamType::kBoolean: return value.is_bool();
    case sdk::ParamType::kNumbers:
    case sdk::ParamType::kList: return value.is_array();
  }
  return false;
}

void check_accepted(const json::object& params, const std::vector<sdk::ParamSpec>& known, std::string_view tag);

void check_element(const sdk::ParamSpec& spec, const json::value& value) {
  if (spec.type == sdk::ParamType::kNumbers) {
    check(value.is_number() && std::isfinite(value.to_number<double>()), "a list of numbers holds only numbers");
    return;
  }
  check(value.is_object(), "a list of objects holds only objects");
  const auto& object = value.get_object();
  const auto shape = spec.tag.empty() ? spec.items.begin()
                                      : std::ranges::find(spec.items, std::string_view(object.at(spec.tag).as_string()),
                                                          &sdk::ObjectSpec::name);
  check(shape != spec.items.end(), "an object has a known shape");
  check_accepted(object, shape->params, spec.tag);
}

double measure_of(const json::value& value) {
  if (value.is_string()) return static_cast<double>(value.get_string().size());
  if (value.is_array()) return static_cast<double>(value.get_array().size());
  return value.to_number<double>();
}

void check_value(const sdk::ParamSpec& spec, const json::value& value) {
  check(has_type(spec, value), "a parameter has its type");
  if (value.is_bool()) return;
  const double measure = measure_of(value);
  check(std::isfinite(measure), "a number is finite");
  check((!spec.min || measure >= *spec.min) && (!spec.max || measure <= *spec.max), "a parameter is in its range");
  check(spec.choices.empty() ||
            std::ranges::find(spec.choices, std::string_view(value.get_string())) != spec.choices.end(),
        "a parameter is one of its choices");
  if (!value.is_array()) return;
  for (const json::value& each : value.get_array()) check_element(spec, each);
}

// `tag`: the one member that need not be a parameter.
void check_accepted(const json::object& params, const std::vector<sdk::ParamSpec>& known, std::string_view tag) {
  for (const auto& [key, value] : params) {
    if (!tag.empty() && std::string_view(key) == tag) continue;
    const auto spec = std::ranges::find(known, std::string_view(key), &sdk::ParamSpec::name);
    check(spec != known.end(), "a parameter is known");
    check_value(*spec, value);
  }
  for (const sdk::ParamSpec& spec : known) {
    check(spec.fallback.is_null() || params.contains(spec.name), "every fallback is filled in");
  }
}

void check_refused(const sdk::JobError& refusal) {
  check(refusal.code() == sdk::JobErrorCode::kInvalidArgument, "what is refused is the client's fault");
  check(std::string_view(refusal.what()).size() <= wire::kMessageBytesMax, "a message fits an error frame");
  check(refusal.field().size() <= wire::kFieldBytesMax, "a field's path is bounded");
}

void check_params(std::string_view text) {
  try {
    const json::object params = sdk::check_params(specs(), text, {});
    check_accepted(params, specs(), {});
    const std::string written = json::serialize(params);
    if (written.size() > sdk::kParamsBytesMax) return;
    check(sdk::check_params(specs(), written, {}).size() == params.size(), "what passes, passes again");
  } catch (const sdk::JobError& refusal) {
    check_refused(refusal);
  }
}

bool inside(ipc::ByteSpan outer, ipc::ByteSpan inner) {
  return inner.empty() || (inner.data() >= outer.data() && inner.data() + inner.size() <= outer.data() + outer.size());
}

void check_body(ipc::ByteSpan bytes) {
  const auto body = wire::decode_job_body(bytes);
  if (!body) return;
  check(inside(bytes, ipc::as_bytes(body->params_json)) && inside(bytes, body->parts), "a body's views lie inside it");
  check_params(body->params_json);
  std::vector<wire::Part> parts;
  if (!wire::decode_parts(body->parts, parts)) return;
  for (const wire::Part& part : parts) {
    check(inside(bytes, part.data) && inside(bytes, ipc::as_bytes(part.name)), "a part's views lie inside the body");
    check(part.place != wire::Place::kInline || part.data.size() == part.bytes, "an inline part has the bytes it says");
  }
}

}  // namespace
}  // namespace quern::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  quern::fuzz::check_body(bytes);
  quern::fuzz::check_params(quern::ipc::as_text(bytes));
  return 0;
}
