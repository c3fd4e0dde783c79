// A job's inputs, which are pictures: what of them is accepted, and how they are read.
//
// Where a job has several, an error says which of them it is about.
#pragma once

#include <fmt/format.h>

#include <boost/json/object.hpp>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <opencv2/core/mat.hpp>
#include <vector>

#include "worker/jobs/image/codec.h"
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

// Opens an input and holds its header against the limits: of all frames of the first one, if they are wanted, and of
// one frame of those behind it. Throws kTooLarge naming the limit.
[[nodiscard]] std::unique_ptr<Decoder> open_input(const sdk::Job& job, std::size_t part, const InputOptions& options);
// All of its first frame: upright, sRGB. The memory has been reserved.
[[nodiscard]] cv::Mat first_picture(const sdk::Job& job, std::size_t part, const InputOptions& options);

// For kinds that look at pixels as they are: each input's first frame. Reserves the memory for them, and for
// `working_bytes` a pixel of the largest beside them.
[[nodiscard]] std::vector<cv::Mat> first_pictures(sdk::Job& job, std::uint64_t working_bytes);

// read(), whose errors are about that input.
template <class Read>
auto reading_part(const sdk::Job& job, std::size_t part, const Read& read) {
  try {
    return read();
  } catch (const sdk::JobError& error) {
    if (job.inputs().size() == 1 || error.code() == sdk::JobErrorCode::kCancelled) throw;
    throw sdk::JobError(error.code(), fmt::format("input {}: {}", part + 1, error.what()), error.field());
  }
}

}  // namespace quern::image
