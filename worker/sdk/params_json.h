// Reading parameters from JSON: one object, in which no object has a name twice.
//
// Boost.JSON's own parse() keeps the last of two equal names in silence; who checks the first and runs
// the second has been fooled. So the parser's events are taken here directly, and the second is refused.
#pragma once

#include <boost/json/object.hpp>
#include <boost/json/storage_ptr.hpp>
#include <string_view>

namespace quern::sdk {

// Throws JobError(kInvalidArgument): field "params" for what is no JSON object or nests deeper than any parameter
// does, the path ("outputs[1].name") for a name that stands twice. All memory comes from `storage`.
[[nodiscard]] boost::json::object parse_params(std::string_view text, const boost::json::storage_ptr& storage);

}  // namespace quern::sdk
