// The chunks of a WebP's RIFF container, one after the other (RFC 9649, section 2).
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "worker/jobs/image/codec.h"

namespace quern::image::webp {

// Requires: there are as many.
[[nodiscard]] inline std::uint32_t little_endian(Bytes bytes, std::size_t at, std::size_t count) {
  std::uint32_t value = 0;
  for (std::size_t i = count; i > 0; --i) value = value << 8 | std::to_integer<std::uint32_t>(bytes[at + i - 1]);
  return value;
}

class ChunkReader {
 public:
  explicit ChunkReader(Bytes file) : file_(file) {}

  // False at the end: no other chunk's head is there.
  bool next() {
    if (next_ + kHeadBytes > file_.size()) return false;
    at_ = next_;
    size_ = little_endian(file_, at_ + kNameBytes, kHeadBytes - kNameBytes);
    next_ = at_ + kHeadBytes + size_ + size_ % 2;
    return true;
  }
  [[nodiscard]] std::string_view name() const { return {reinterpret_cast<const char*>(&file_[at_]), kNameBytes}; }
  // What there is of it.
  [[nodiscard]] Bytes data() const {
    const Bytes rest = file_.subspan(at_ + kHeadBytes);
    return rest.first(std::min<std::size_t>(size_, rest.size()));
  }
  [[nodiscard]] bool is_whole() const { return next_ <= file_.size(); }
  // Where in the file it begins.
  [[nodiscard]] std::size_t offset() const { return at_; }

 private:
  static constexpr std::size_t kFileHeadBytes = 12;  // "RIFF", a size, "WEBP"
  static constexpr std::size_t kNameBytes = 4;
  static constexpr std::size_t kHeadBytes = 8;  // a name, and a size

  Bytes file_;
  std::size_t at_ = 0;
  std::size_t next_ = kFileHeadBytes;
  std::uint64_t size_ = 0;
};

}  // namespace quern::image::webp
