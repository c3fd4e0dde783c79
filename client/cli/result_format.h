// What a result's format and the name of the file that it goes into have to do with each other: "webp" and `.webp`.
// Formats are the choices of a kind's parameter `format`, and of the same member of its `outputs`.
#pragma once

#include <boost/json/object.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace quern::cli {

// The choice that a file of this name holds: "jpeg" for "a.JPG". Nothing when no choice ends so. `kind`: a kind, or the
// shape of its `outputs`.
[[nodiscard]] std::optional<std::string> format_of(const boost::json::object& kind, std::string_view file);

// How the file of a result that is one part ends, by its kind and parameters: ".webp", ".jpg", ".json"; of the one of
// `outputs`, as its name does. Nothing when they don't say.
[[nodiscard]] std::optional<std::string> result_suffix(const boost::json::object& kind,
                                                       const boost::json::object& params);

// Whether the format of the one result is left to the job, so that only its bytes will say it.
[[nodiscard]] bool chooses_format(const boost::json::object& params);

// Says the formats that `params` leave open, where names do: the file that the one result goes into ("": none), and the
// names in `outputs`.
void settle_formats(const boost::json::object& kind, boost::json::object& params, std::string_view file);

}  // namespace quern::cli
