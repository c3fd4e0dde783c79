#include "client/cli/result_format.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/value.hpp>
#include <filesystem>

#include "client/cli/kinds.h"

namespace quern::cli {
namespace {

namespace json = boost::json;

constexpr std::string_view kAnyFormat = "auto";

std::string suffix_of(std::string_view format) {
  if (format == "jpeg") return ".jpg";
  if (format == "placeholder") return ".json";
  return fmt::format(".{}", format);
}

// As suffix_of writes it.
std::string usual_suffix(std::string_view file) {
  std::string suffix = std::filesystem::path(file).extension().string();
  std::ranges::transform(suffix, suffix.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c; });
  if (suffix == ".jpeg" || suffix == ".jpe" || suffix == ".jfif") return ".jpg";
  return suffix == ".tif" ? ".tiff" : suffix;
}

std::optional<std::string_view> text_of(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  if (value == nullptr || !value->is_string()) return std::nullopt;
  return std::string_view(value->get_string());
}

// The parameter `format`, when it is a choice of words; or null.
const json::object* format_param(const json::object& kind) {
  const json::object* format = find_param(kind, "format");
  const json::value* choices = format == nullptr ? nullptr : format->if_contains("choices");
  return choices != nullptr && choices->is_array() ? format : nullptr;
}

// What each object in the kind's parameter `outputs` looks like, or null.
const json::object* shape_of_outputs(const json::object& kind) {
  const json::object* outputs = find_param(kind, "outputs");
  const json::value* shapes = outputs == nullptr ? nullptr : outputs->if_contains("items");
  if (shapes == nullptr || !shapes->is_array() || shapes->get_array().size() != 1) return nullptr;
  return shapes->get_array().front().if_object();
}

// What says how the one result is written, or null when there are several: an object in `outputs`, or else all
// parameters.
const json::object* only_result(const json::object& params) {
  const json::value* outputs = params.if_contains("outputs");
  if (outputs == nullptr) return &params;
  const json::array* list = outputs->if_array();
  return list != nullptr && list->size() == 1 ? list->front().if_object() : nullptr;
}

void settle_format(const json::object& kind, json::object& params, std::string_view file) {
  if (params.contains("format")) return;
  if (const auto format = format_of(kind, file)) params["format"] = *format;
}

}  // namespace

std::optional<std::string> format_of(const json::object& kind, std::string_view file) {
  const json::object* param = format_param(kind);
  const std::string suffix = usual_suffix(file);
  if (param == nullptr || suffix.empty()) return std::nullopt;
  for (const json::value& choice : param->at("choices").get_array()) {
    if (!choice.is_string() || choice.get_string() == kAnyFormat) continue;
    if (suffix_of(choice.get_string()) == suffix) return std::string(choice.get_string());
  }
  return std::nullopt;
}

std::optional<std::string> result_suffix(const json::object& kind, const json::object& params) {
  if (const auto always = text_of(kind, "output_suffix")) return std::string(*always);
  const json::object* result = only_result(params);
  const json::object* shape = result == nullptr || result == &params ? &kind : shape_of_outputs(kind);
  if (result == nullptr || shape == nullptr || format_param(*shape) == nullptr) return std::nullopt;
  auto format = text_of(*result, "format");
  if (result != &params) {
    const std::string_view name = text_of(*result, "name").value_or("");
    const auto named = format_of(*shape, name);
    const bool agrees = !format || *format == kAnyFormat || *format == named;
    if (named && agrees) return std::filesystem::path(name).extension().string();
  }
  if (!format) format = text_of(*format_param(*shape), "default");
  return format && *format != kAnyFormat ? std::optional(suffix_of(*format)) : std::nullopt;
}

bool chooses_format(const json::object& params) {
  const json::object* result = only_result(params);
  return result != nullptr && text_of(*result, "format") == kAnyFormat;
}

void settle_formats(const json::object& kind, json::object& params, std::string_view file) {
  json::value* outputs = params.if_contains("outputs");
  if (outputs == nullptr) return settle_format(kind, params, file);
  const json::object* shape = shape_of_outputs(kind);
  if (shape == nullptr || !outputs->is_array()) return;
  json::array& list = outputs->get_array();
  for (json::value& each : list) {
    json::object* output = each.if_object();
    if (output == nullptr) continue;
    if (list.size() == 1) settle_format(*shape, *output, file);
    settle_format(*shape, *output, text_of(*output, "name").value_or(""));
  }
}

}  // namespace quern::cli
