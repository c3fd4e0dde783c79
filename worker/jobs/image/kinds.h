// The module's kinds, a function each; image.cpp lists them.
#pragma once

#include "worker/sdk/job.h"

namespace quern::image {

[[nodiscard]] sdk::Kind resize_kind();
[[nodiscard]] sdk::Kind process_kind();
[[nodiscard]] sdk::Kind info_kind();
[[nodiscard]] sdk::Kind stats_kind();
[[nodiscard]] sdk::Kind compare_kind();
[[nodiscard]] sdk::Kind placeholder_kind();

}  // namespace quern::image
