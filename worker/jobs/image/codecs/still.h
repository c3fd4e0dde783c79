// For encoders of one picture: keeps it until finish() writes it.
#pragma once

#include <functional>
#include <utility>

#include "worker/jobs/image/codec.h"

namespace quern::image {

class StillEncoder final : public Encoder {
 public:
  using Write = std::function<void(const Picture& picture, sdk::Output& output)>;
  explicit StillEncoder(Write write) : write_(std::move(write)) {}
  void add(const Frame& frame) override { picture_ = frame.picture; }
  void finish(sdk::Output& output) override { write_(picture_, output); }

 private:
  Write write_;
  Picture picture_;
};

}  // namespace quern::image
