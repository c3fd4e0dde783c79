// A PNG file written chunk by chunk (third edition, clause 5).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "worker/jobs/image/codec.h"

namespace quern::image::png {

class ChunkWriter {
 public:
  struct ImageHeader {
    std::uint32_t width;
    std::uint32_t height;
    std::uint8_t depth;
    std::uint8_t color_type;
  };

  // Writes the signature.
  explicit ChunkWriter(sdk::Output& output);

  void header(const ImageHeader& header);
  // iCCP, eXIf and iTXt, for what there is.
  void metadata(const MetadataView& metadata);
  void chunk(std::string_view type, Bytes data);
  // A chunk of at most `most` bytes, filled in place, without a copy. end() says how many it became.
  [[nodiscard]] std::span<std::byte> begin(std::string_view type, std::size_t most);
  void end(std::size_t size);
  void finish();

 private:
  sdk::Output& output_;
  std::span<std::byte> room_{};
};

}  // namespace quern::image::png
