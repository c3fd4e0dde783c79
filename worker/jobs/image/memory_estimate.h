// How much memory a job will take at its peak, said from its input's header: what is asked of the pool before a pixel
// is allocated.
//
// It is an upper bound of what was measured for each codec, for the larger of decoding and encoding; operations on the
// whole picture count with the copies that they make. A test holds it against the real peak. No header tells how large
// the tables of a lossless WebP are: a hostile one takes up to 400 MB beside its picture.
#pragma once

#include <cstdint>
#include <span>

#include "worker/jobs/image/codec.h"

namespace quern::image {

struct OutputEstimate {
  Format format{};
  std::uint64_t pixels = 0;  // of the result, at most
  bool alpha = false;
  bool palette = false;
  bool lossless = false;
  std::uint32_t frames = 1;
  // The most pixels that an operation takes or makes, other than a resize that comes first: those work on what the
  // decoder gave, and make no other copy.
  std::uint64_t operated_pixels = 0;
  std::uint64_t metadata_bytes = 0;  // that are written
};

[[nodiscard]] std::uint64_t estimated_bytes(const Header& header, const DecodeOptions& options,
                                            std::uint64_t file_bytes, std::span<const OutputEstimate> outputs);

// Tables, libraries' small allocations, a channel of the resampler: of any job.
constexpr std::uint64_t kEstimateBase = 12U << 20;

// Of a picture that is decoded and then kept whole.
[[nodiscard]] std::uint64_t estimated_bytes_of_whole(const Header& header, std::uint64_t file_bytes);

}  // namespace quern::image
