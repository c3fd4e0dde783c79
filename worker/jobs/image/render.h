// From an input to its outputs: decode once, work on each frame, encode what is asked for.
//
//     header, limits, memory        before any pixel
//     decode                        smaller, in part, or as luma and chroma, where all outputs begin with a resize
//     shared operations             once
//     each output's operations      and its encoder
//
// The colours of an embedded profile become sRGB's after the first resize, when there are fewer of them.
#pragma once

#include <boost/json/object.hpp>
#include <string>
#include <vector>

#include "worker/jobs/image/input.h"
#include "worker/jobs/image/operations/operation.h"
#include "worker/sdk/job.h"

namespace quern::image {

struct Output {
  std::string name;                   // of the result's part
  Operations operations;              // after the shared ones
  const boost::json::object& params;  // for encode_options
};

// The job's first input part becomes its result's parts, in the outputs' order. Operations that take a second picture
// find the other input parts.
void render(sdk::Job& job, const InputOptions& input, Operations& shared, std::vector<Output>& outputs);

}  // namespace quern::image
