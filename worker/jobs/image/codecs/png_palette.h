// PNGs of at most 256 colours.
#pragma once

#include "worker/jobs/image/codec.h"
#include "worker/jobs/image/codecs/quantise.h"

namespace quern::image::png {

// In as few bits a pixel as the colours need, compressed by libdeflate. Not interlaced.
void encode_palette(const Quantised& quantised, const EncodeOptions& options, sdk::Output& output);

}  // namespace quern::image::png
