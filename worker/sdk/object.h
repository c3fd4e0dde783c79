// Typed access to checked parameters: a job's, or those of one object in a list.
//
//     for (const json::value& each : job.list("operations")) {
//       const json::object& operation = each.as_object();
//       if (sdk::string(operation, "op") == "blur") blur(sdk::number(operation, "sigma"));
//     }
//
// What is read must be present (required, or with a fallback; else ask `has`), and of the type that its ParamSpec
// says; anything else throws, and is a bug of the module.
#pragma once

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <cstdint>
#include <string_view>
#include <vector>

namespace quern::sdk {

[[nodiscard]] std::string_view string(const boost::json::object& params, std::string_view name);
[[nodiscard]] std::int64_t integer(const boost::json::object& params, std::string_view name);
[[nodiscard]] double number(const boost::json::object& params, std::string_view name);
[[nodiscard]] bool boolean(const boost::json::object& params, std::string_view name);
[[nodiscard]] bool has(const boost::json::object& params, std::string_view name) noexcept;
[[nodiscard]] std::vector<double> numbers(const boost::json::object& params, std::string_view name);
[[nodiscard]] const boost::json::array& list(const boost::json::object& params, std::string_view name);

}  // namespace quern::sdk
