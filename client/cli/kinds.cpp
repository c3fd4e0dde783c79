#include "client/cli/kinds.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <charconv>

#include "client/cli/json_argument.h"
#include "client/cli/kind_text.h"

namespace quern::cli {
namespace {

namespace json = boost::json;

std::string_view text_of(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  return value != nullptr && value->is_string() ? std::string_view(value->get_string()) : std::string_view();
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
    fmt::print("{}\n", kind_text(each.as_object(), ShapeDetail::kNames));
  }
}

void KindTable::print_kind(const json::object& kind) { fmt::print("{}", kind_text(kind, ShapeDetail::kWhole)); }

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
  if (type == "list" || type == "numbers") return json_argument(text_of(param, "name"), text);
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
