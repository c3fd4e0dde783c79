#include "worker/sdk/object.h"

#include <boost/json/value.hpp>

namespace quern::sdk {

namespace json = boost::json;

std::string_view string(const json::object& params, std::string_view name) { return params.at(name).as_string(); }
std::int64_t integer(const json::object& params, std::string_view name) {
  return params.at(name).to_number<std::int64_t>();
}
double number(const json::object& params, std::string_view name) { return params.at(name).to_number<double>(); }
bool boolean(const json::object& params, std::string_view name) { return params.at(name).as_bool(); }
bool has(const json::object& params, std::string_view name) noexcept { return params.contains(name); }

std::vector<double> numbers(const json::object& params, std::string_view name) {
  std::vector<double> numbers;
  for (const json::value& each : list(params, name)) numbers.push_back(each.to_number<double>());
  return numbers;
}

const json::array& list(const json::object& params, std::string_view name) { return params.at(name).as_array(); }

}  // namespace quern::sdk
