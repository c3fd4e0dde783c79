// What still pictures and animations share of libwebp's encoder: its settings, its objects, metadata around a picture.
#pragma once

#include <webp/encode.h>

#include <vector>

#include "worker/jobs/image/codec.h"

namespace quern::image::webp {

[[noreturn]] void other_version();

// Without an effort, the settings are ours: see webp_config.cpp.
[[nodiscard]] WebPConfig config_for(const EncodeOptions& options);

struct Source : WebPPicture {
  Source();
  Source(const Source&) = delete;
  Source& operator=(const Source&) = delete;
  ~Source();
};

struct Memory {
  WebPMemoryWriter writer{};
  Memory() { WebPMemoryWriterInit(&writer); }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  ~Memory() { WebPMemoryWriterClear(&writer); }
};

// A file with an ICCP, an EXIF and an XMP chunk, for what there is of each.
[[nodiscard]] std::vector<std::byte> with_metadata(Bytes file, const MetadataView& metadata);

}  // namespace quern::image::webp
