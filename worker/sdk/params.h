// Checking a job's parameters against its kind's ParamSpecs, before the module sees them.
//
// Whatever the client wrote, the result holds only known names with values of the right type and
// range, and every fallback filled in; so do the objects in its lists, as deep as the specs go. Everything
// else is JobError(kInvalidArgument) naming the field, by its path, and what is allowed.
#pragma once

#include <boost/json/object.hpp>
#include <boost/json/storage_ptr.hpp>
#include <span>
#include <string>
#include <string_view>

#include "worker/sdk/job.h"

namespace quern::sdk {

// Parameters are small: a document above this is refused before it is parsed.
inline constexpr std::size_t kParamsBytesMax = 64U << 10;

// `text` is a JSON object, or empty for none; a name that stands twice in an object is refused. The object's memory
// comes from `storage`.
[[nodiscard]] boost::json::object check_params(std::span<const ParamSpec> specs, std::string_view text,
                                               const boost::json::storage_ptr& storage);

// "an integer between 1 and 100", for messages and for `quern kinds`.
[[nodiscard]] std::string describe_allowed(const ParamSpec& spec);

}  // namespace quern::sdk
