#include "worker/jobs/image/operations/arguments.h"

#include <fmt/format.h>

#include "worker/jobs/image/css_color.h"
#include "worker/sdk/job.h"
#include "worker/sdk/object.h"

namespace quern::image {

std::string Arguments::path_of(std::string_view name) const {
  return path_.empty() ? std::string(name) : fmt::format("{}.{}", path_, name);
}

bool Arguments::has(std::string_view name) const noexcept { return sdk::has(params_, name); }
std::string_view Arguments::string(std::string_view name) const { return sdk::string(params_, name); }
int Arguments::integer(std::string_view name) const { return static_cast<int>(sdk::integer(params_, name)); }
double Arguments::number(std::string_view name) const { return sdk::number(params_, name); }
bool Arguments::boolean(std::string_view name) const { return sdk::boolean(params_, name); }
std::vector<double> Arguments::numbers(std::string_view name) const { return sdk::numbers(params_, name); }
Color Arguments::color(std::string_view name) const { return parse_color(string(name), path_of(name)); }

std::optional<Color> Arguments::color_if(std::string_view name) const {
  return has(name) ? std::optional(color(name)) : std::nullopt;
}

void Arguments::refuse(std::string_view name, std::string_view message) const {
  const std::string path = path_of(name);
  throw sdk::JobError(sdk::JobErrorCode::kInvalidArgument, fmt::format("{} {}", path, message), path);
}

}  // namespace quern::image
