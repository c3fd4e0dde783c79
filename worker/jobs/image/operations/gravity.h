// Where a smaller picture lies in a larger one: a compass direction, or the centre.
#pragma once

#include <opencv2/core/types.hpp>
#include <string>
#include <string_view>

#include "worker/jobs/image/plan.h"
#include "worker/sdk/job.h"

namespace quern::image {

// A parameter that takes a gravity: "north", "southeast", "centre"; or sharp's "top", "right bottom", "center".
[[nodiscard]] sdk::ParamSpec gravity_param(std::string name, std::string help);
[[nodiscard]] Gravity gravity_of(std::string_view word);

// The top left corner. Negative where the inner one is larger.
[[nodiscard]] cv::Point placed(cv::Size inner, cv::Size outer, Gravity gravity, Odd odd);

}  // namespace quern::image
