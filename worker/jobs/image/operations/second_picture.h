// The other picture of operations that take two: an input part of the job.
#pragma once

#include <fmt/format.h>

#include <string>

#include "worker/jobs/image/operations/arguments.h"
#include "worker/jobs/image/operations/families.h"

namespace quern::image {

[[nodiscard]] inline sdk::ParamSpec input_param() {
  return whole_param("input", "which input part; 0 is the picture itself", 1, 63, 1);
}

class SecondPicture {
 public:
  explicit SecondPicture(const Arguments& arguments)
      : index_(static_cast<std::size_t>(arguments.integer("input"))), path_(arguments.path_of("input")) {}

  [[nodiscard]] const cv::Mat& of(const Context& context) const {
    if (index_ < context.inputs) return context.input(index_);
    throw sdk::JobError(sdk::JobErrorCode::kInvalidArgument,
                        fmt::format("{}: there is no input part {}; the job has {}", path_, index_, context.inputs),
                        path_);
  }

 private:
  std::size_t index_;
  std::string path_;
};

}  // namespace quern::image
