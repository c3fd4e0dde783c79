// What a decoder does about a damaged file: refuses it, or goes on with what there is.
#pragma once

#include <string>
#include <string_view>

#include "worker/jobs/image/codec.h"

namespace quern::image {

class Damage {
 public:
  // `format` as messages begin: "GIF".
  Damage(std::string_view format, FailOn fail_on) : format_(format), fail_on_(fail_on) {}

  // For what nothing can be made of.
  [[noreturn]] void refuse(std::string_view why) const {
    throw sdk::JobError(sdk::JobErrorCode::kBadInput, std::string(format_) + ": " + std::string(why));
  }
  // Returns only if damage of this kind is let pass.
  void report(FailOn kind, std::string_view why) const {
    if (fail_on_ >= kind) refuse(why);
  }

 private:
  std::string_view format_;
  FailOn fail_on_;
};

}  // namespace quern::image
