#include "client/cli/kinds.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <charconv>

namespace quern::cli {
namespace {

namespace json = boost::json;

std::string_view text_of(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  return value != nullptr && value->is_string() ? std::string_view(value->get_string()) : std::string_view();
}

std::string allowed(const json::object& param) {
  if (const json::value* choices = param.if_contains("choices"); choices != nullptr) {
    std::string words;
    for (const json::value& choice : choices->as_array())
      words += (words.empty() ? "" : "|") + std::string(choice.as_string());
    return words;
  }
  std::string words(text_of(param, "type"));
  const json::value* min = param.if_contains("min");
  const json::value* max = param.if_contains("max");
  if (min != nullptr && max != nullptr) {
    words += fmt::format(" {}..{}", min->to_number<double>(), max->to_number<double>());
  } else if (min != nullptr) {
    words += fmt::format(" >= {}", min->to_number<double>());
  } else if (max != nullptr) {
    words += fmt::format(" <= {}", max->to_number<double>());
  }
  return words;
}

}  // namespace

Result<KindTable> KindTable::parse(std::string_view document) {
  KindTable table;
  boost::system::error_code failure;
  table.document_ = json::parse(document, failure);
  const bool good = !failure && table.document_.is_object() &&
                    table.document_.get_object().if_contains("kinds") != nullptr &&
                    table.document_.get_object().at("kinds").is_array();
  if (!good) return Error{.code = ErrorCode::kProtocolError, .message = "the server's list of kinds is malformed"};
  return table;
}

const json::object* KindTable::find(std::string_view kind) const {
  for (const json::value& each : document_.get_object().at("kinds").get_array()) {
    if (text_of(each.as_object(), "name") == kind) return &each.get_object();
  }
  return nullptr;
}

std::vector<std::string> KindTable::names() const {
  std::vector<std::string> names;
  for (const json::value& each : document_.get_object().at("kinds").get_array()) {
    names.emplace_back(text_of(each.as_object(), "name"));
  }
  return names;
}

void KindTable::print_list() const {
  for (const json::value& each : document_.get_object().at("kinds").get_array()) {
    print_kind(each.as_object());
    fmt::print("\n");
  }
}

void KindTable::print_kind(const json::object& kind) {
  fmt::print("{}  (pool {})\n  {}\n", text_of(kind, "name"), text_of(kind, "pool"), text_of(kind, "summary"));
  const json::object& input = kind.at("input").as_object();
  fmt::print("  input:  {}\n", input.at("parts_max").to_number<std::uint64_t>() == 0 ? "none" : text_of(input, "help"));
  fmt::print("  output: {}\n", text_of(kind, "output"));
  for (const json::value& each : kind.at("params").as_array()) {
    const json::object& param = each.as_object();
    std::string notes;
    if (param.at("required").as_bool()) notes = " (required)";
    if (const json::value* fallback = param.if_contains("default"); fallback != nullptr) {
      notes = fmt::format(" (default {})",
                          fallback->is_string() ? std::string(fallback->get_string()) : json::serialize(*fallback));
    }
    fmt::print("  --{:<20} {:<28} {}{}\n", text_of(param, "name"), allowed(param), text_of(param, "help"), notes);
  }
}

const json::object* find_param(const json::object& kind, std::string_view param) {
  for (const json::value& each : kind.at("params").as_array()) {
    if (text_of(each.as_object(), "name") == param) return &each.get_object();
  }
  return nullptr;
}

Result<json::value> typed_value(const json::object& param, std::string_view text) {
  const std::string_view type = text_of(param, "type");
  const auto bad = [&] {
    return Error{.code = ErrorCode::kInvalidArgument,
                 .message = fmt::format("--{} must be {} (got '{}')", text_of(param, "name"), allowed(param), text),
                 .field = std::string(text_of(param, "name"))};
  };
  if (type == "string") return json::value(text);
  if (type == "boolean") {
    if (text == "true" || text == "yes" || text == "1") return json::value(true);
    if (text == "false" || text == "no" || text == "0") return json::value(false);
    return bad();
  }
  const char* end = text.data() + text.size();
  if (type == "integer") {
    std::int64_t number = 0;
    const auto read = std::from_chars(text.data(), end, number);
    if (read.ec != std::errc{} || read.ptr != end) return bad();
    return json::value(number);
  }
  double number = 0;
  const auto read = std::from_chars(text.data(), end, number);
  if (read.ec != std::errc{} || read.ptr != end) return bad();
  return json::value(number);
}

}  // namespace quern::cli
