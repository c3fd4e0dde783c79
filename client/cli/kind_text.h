// A kind as people read it: `quern kinds`, `quern run KIND --help`.
#pragma once

#include <boost/json/object.hpp>
#include <string>

namespace quern::cli {

// Of a list whose objects have several shapes: their names, or each with its own parameters.
enum class ShapeDetail { kNames, kWhole };

[[nodiscard]] std::string kind_text(const boost::json::object& kind, ShapeDetail detail);

// What a parameter may be: "integer 1..100", "webp|jpeg", "list of objects 0..64".
[[nodiscard]] std::string allowed(const boost::json::object& param);

}  // namespace quern::cli
