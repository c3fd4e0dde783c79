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

#include "worker/jobs/image/codec.h"
#include "worker/jobs/image/operations/operation.h"
#include "worker/sdk/job.h"

namespace quern::image {

// Parameters about the input: how it is read, and what is refused. For every kind that decodes.
[[nodiscard]] std::vector<sdk::ParamSpec> input_specs();

// What input_specs() say of this job.
struct InputOptions {
  FailOn fail_on = FailOn::kWarning;
  bool auto_orient = true;
  bool animated = true;
  std::uint64_t pixels_max = 0;  // of all frames together
  std::uint32_t side_max = 0;
  std::uint32_t frames_max = 0;
  std::uint64_t bytes_max = 0;
};
[[nodiscard]] InputOptions input_options(const boost::json::object& params);

// Opens an input and holds its header against the limits. Throws kTooLarge naming the limit.
[[nodiscard]] std::unique_ptr<Decoder> open_input(Bytes bytes, const InputOptions& options, const sdk::Job& job);
// All of its first frame: upright, sRGB. For kinds that look at pixels as they are.
[[nodiscard]] cv::Mat first_picture(Bytes bytes, const InputOptions& options, const sdk::Job& job);

struct Output {
  std::string name;                   // of the result's part
  Operations operations;              // after the shared ones
  const boost::json::object& params;  // for encode_options
};

// The job's first input part becomes its result's parts, in the outputs' order. Operations that take a second picture
// find the other input parts.
void render(sdk::Job& job, const InputOptions& input, Operations& shared, std::vector<Output>& outputs);

}  // namespace quern::image
