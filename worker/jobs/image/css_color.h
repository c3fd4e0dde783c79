// Colours as CSS writes them: #rgb, #rgba, #rrggbb, #rrggbbaa; rgb(255, 128, 0), rgba(255 128 0 / 50%); and the
// names of CSS Color 4 with transparent.
#pragma once

#include <string_view>

#include "worker/jobs/image/picture.h"

namespace quern::image {

// The longest text that can be one; for ParamSpec::max.
inline constexpr int kColorBytesMax = 48;

// Throws sdk::JobError(kInvalidArgument) that names `field`.
[[nodiscard]] Color parse_color(std::string_view text, std::string_view field);

}  // namespace quern::image
