// The other picture of operations that take two: an input part of the job.
#pragma once

#include <fmt/format.h>

#include <string>

#include "worker/jobs/image/limits.h"
#include "worker/jobs/image/operations/arguments.h"
#include "worker/jobs/image/operations/families.h"

namespace quern::image {

[[nodiscard]] inline sdk::ParamSpec input_param() {
  return whole_param("input", "which of the inputs that follow the picture: 1 is the job's second", 1, kInputsMax - 1,
                     1);
}

class SecondPicture {
 public:
  explicit SecondPicture(const Arguments& arguments)
      : index_(static_cast<std::size_t>(arguments.integer("input"))), path_(arguments.path_of("input")) {}

  [[nodiscard]] const cv::Mat& of(const Context& context) const {
    if (index_ < context.inputs) return context.input(index_);
    throw sdk::JobError(sdk::JobErrorCode::kInvalidArgument,
                        fmt::format("{} is {}: that is the job's input {}, and it has only {}", path_, index_,
                                    index_ + 1, context.inputs),
                        path_);
  }

 private:
  std::size_t index_;
  std::string path_;
};

}  // namespace quern::image
