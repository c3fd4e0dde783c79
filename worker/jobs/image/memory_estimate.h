// How much memory a job will take at its peak, said from its input's header: what is asked of the pool before a pixel
// is allocated.
//
// It is an upper bound of what was measured for each codec (docs/jobs.md), for the larger of decoding and encoding;
// operations on the whole picture count with the copies that they make. A test holds it against the real peak.
#pragma once

#include <cstdint>
#include <span>

#include "worker/jobs/image/codec.h"
#include "worker/jobs/image/plan.h"

namespace quern::image {

struct OutputEstimate {
  Format format{};
  Size size;  // of the result, as far as it is known
  std::uint32_t frames = 1;
  bool whole = false;  // its operations do not begin with a resize: they see the whole picture
};

[[nodiscard]] std::uint64_t estimated_bytes(const Header& header, const DecodeOptions& options,
                                            std::uint64_t file_bytes, std::span<const OutputEstimate> outputs);

}  // namespace quern::image
