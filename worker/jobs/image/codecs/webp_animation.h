// Animated WebPs: read frame after frame, composed on their canvas; and written.
#pragma once

#include <memory>

#include "worker/jobs/image/codec.h"

namespace quern::image::webp {

// `header` is the same file's, of more than one frame.
[[nodiscard]] std::unique_ptr<Decoder> open_animation(Bytes bytes, Header header, Metadata metadata, FailOn fail_on,
                                                      const sdk::Job& job);
[[nodiscard]] std::unique_ptr<Encoder> make_animation_encoder(const EncodeOptions& options, const sdk::Job& job);

}  // namespace quern::image::webp
