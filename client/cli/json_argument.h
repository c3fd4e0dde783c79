// A parameter that is a list, as one word of a command line: JSON, or @FILE for a file that holds it.
#pragma once

#include <boost/json/value.hpp>
#include <string_view>

#include "common/error.h"

namespace quern::cli {

// `param` is its name, for errors. Only the server knows what may stand in the list; here it is made sure that what
// is sent is what was written: a name that stands twice in an object would not be.
[[nodiscard]] Result<boost::json::value> json_argument(std::string_view param, std::string_view word);

}  // namespace quern::cli
