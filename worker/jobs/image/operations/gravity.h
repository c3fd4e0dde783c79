// Where a smaller picture lies in a larger one: a compass direction, or the centre.
#pragma once

#include <opencv2/core/types.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "worker/jobs/image/plan.h"

namespace quern::image {

// "north", "southeast", "centre" (or "center"): the words of gravity_words().
[[nodiscard]] Gravity gravity_of(std::string_view word);
[[nodiscard]] std::vector<std::string> gravity_words();

// The top left corner. Negative where the inner one is larger; an odd pixel more is left at the right and the bottom.
[[nodiscard]] cv::Point placed(cv::Size inner, cv::Size outer, Gravity gravity);

}  // namespace quern::image
