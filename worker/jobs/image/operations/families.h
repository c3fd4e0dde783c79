// The families' rows of the table of operations, for operation.cpp; and what makes a row short to write.
#pragma once

#include <boost/json/value.hpp>
#include <string>
#include <vector>

#include "worker/jobs/image/css_color.h"
#include "worker/jobs/image/operations/operation.h"

namespace quern::image {

[[nodiscard]] std::vector<OperationKind> geometry_operations();
[[nodiscard]] std::vector<OperationKind> filter_operations();
[[nodiscard]] std::vector<OperationKind> tone_operations();
[[nodiscard]] std::vector<OperationKind> channel_operations();
[[nodiscard]] std::vector<OperationKind> composite_operations();

// A parameter that is `fallback` when it is absent; null: then it stays absent.
[[nodiscard]] inline sdk::ParamSpec whole_param(std::string name, std::string help, double min, double max,
                                                boost::json::value fallback) {
  return {.name = std::move(name),
          .type = sdk::ParamType::kInteger,
          .help = std::move(help),
          .fallback = std::move(fallback),
          .min = min,
          .max = max};
}

[[nodiscard]] inline sdk::ParamSpec number_param(std::string name, std::string help, double min, double max,
                                                 boost::json::value fallback) {
  sdk::ParamSpec spec = whole_param(std::move(name), std::move(help), min, max, std::move(fallback));
  spec.type = sdk::ParamType::kNumber;
  return spec;
}

[[nodiscard]] inline sdk::ParamSpec numbers_param(std::string name, std::string help, double min, double max,
                                                  boost::json::value fallback) {
  sdk::ParamSpec spec = whole_param(std::move(name), std::move(help), min, max, std::move(fallback));
  spec.type = sdk::ParamType::kNumbers;
  return spec;
}

[[nodiscard]] inline sdk::ParamSpec flag_param(std::string name, std::string help, bool fallback) {
  return {.name = std::move(name), .type = sdk::ParamType::kBoolean, .help = std::move(help), .fallback = fallback};
}

[[nodiscard]] inline sdk::ParamSpec choice_param(std::string name, std::string help, std::vector<std::string> choices,
                                                 boost::json::value fallback) {
  return {
      .name = std::move(name), .help = std::move(help), .fallback = std::move(fallback), .choices = std::move(choices)};
}

[[nodiscard]] inline sdk::ParamSpec color_param(std::string name, std::string help, boost::json::value fallback) {
  return {.name = std::move(name), .help = std::move(help), .fallback = std::move(fallback), .max = kColorBytesMax};
}

[[nodiscard]] inline sdk::ParamSpec required(sdk::ParamSpec spec) {
  spec.required = true;
  return spec;
}

}  // namespace quern::image
