// One picture on another.
#pragma once

#include <opencv2/core/mat.hpp>

#include "worker/jobs/image/operations/blend.h"
#include "worker/sdk/job.h"

namespace quern::image {

struct CompositeOptions {
  cv::Point at{};  // the overlay's top left corner; what lies outside of the picture is cut
  Blend blend = Blend::kOver;
  double opacity = 1;  // times the overlay's alpha
  bool tile = false;   // the overlay is repeated over all of the picture, in step with `at`
};

// Where the overlay is not, it counts as transparent: "dest-in" clears what it does not cover. The result has alpha if
// the picture has, or if the blend makes holes.
[[nodiscard]] cv::Mat composite(const cv::Mat& picture, const cv::Mat& overlay, const CompositeOptions& options,
                                const sdk::Job& job);

}  // namespace quern::image
