// The operation resize: what `image.resize` does, too.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "worker/jobs/image/operations/arguments.h"
#include "worker/jobs/image/operations/operation.h"
#include "worker/jobs/image/resize.h"

namespace quern::image {

class ResizeOperation final : public Operation {
 public:
  explicit ResizeOperation(const ResizeRequest& request) : request_(request) {}

  [[nodiscard]] const ResizeRequest& request() const { return request_; }
  // As the first operation: on what a decoder gave, which may lie on its side, be smaller than it is stored, or be luma
  // and chroma; with `layout` these stay so where they can.
  [[nodiscard]] Picture apply(const Source& source, std::optional<YuvLayout> layout, const sdk::Job& job);
  [[nodiscard]] cv::Mat apply(cv::Mat picture, Context& context) override;
  [[nodiscard]] Shape after(const Shape& before) const override;
  [[nodiscard]] Wishes wishes() const override { return wishes_of(request_.background.value_or(Color{})); }

 private:
  ResizeRequest request_;
  std::optional<Place> place_;  // of a crop that looked at the first frame
};

[[nodiscard]] std::vector<sdk::ParamSpec> resize_params();
[[nodiscard]] sdk::ObjectSpec resize_spec();
// Throws JobError(kInvalidArgument) when neither side is given.
[[nodiscard]] std::unique_ptr<ResizeOperation> make_resize(const Arguments& arguments);

}  // namespace quern::image
