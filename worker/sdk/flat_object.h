// Reading parameters from JSON: one object of plain values, each name once.
//
// Boost.JSON's own parse() keeps the last of two equal names in silence; who checks the first and runs
// the second has been fooled. So the parser's events are taken here directly, and the second is refused.
// Lists and objects can't be parameters; they are kept as empty ones, for the checker to name.
#pragma once

#include <boost/json/object.hpp>
#include <boost/json/storage_ptr.hpp>
#include <string_view>

namespace quern::sdk {

// Throws JobError(kInvalidArgument): field "params" for what is no JSON object, the name for one that
// stands twice. All memory comes from `storage`.
[[nodiscard]] boost::json::object parse_flat_object(std::string_view text, const boost::json::storage_ptr& storage);

}  // namespace quern::sdk
