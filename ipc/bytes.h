// Little-endian encoding of fixed-width integers, shared by the wire protocol and the control
// messages. ByteReader never reads past its end: after the first short read it stays failed and
// yields zeros, so that a decoder reads all its fields and checks ok() once.
#pragma once

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

namespace quern::ipc {

static_assert(std::endian::native == std::endian::little, "the wire format is written with memcpy");

using ByteSpan = std::span<const std::byte>;

[[nodiscard]] inline ByteSpan as_bytes(std::string_view text) noexcept {
  return std::as_bytes(std::span(text.data(), text.size()));
}
[[nodiscard]] inline std::string_view as_text(ByteSpan bytes) noexcept {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

class ByteReader {
 public:
  explicit ByteReader(ByteSpan bytes) noexcept : rest_(bytes) {}

  template <std::integral T>
  [[nodiscard]] T number() noexcept {
    T value{};
    const ByteSpan raw = bytes(sizeof(T));
    if (raw.size() == sizeof(T)) std::memcpy(&value, raw.data(), sizeof(T));
    return value;
  }
  [[nodiscard]] ByteSpan bytes(std::size_t n) noexcept {
    if (n > rest_.size()) {
      failed_ = true;
      rest_ = {};
      return {};
    }
    const ByteSpan head = rest_.first(n);
    rest_ = rest_.subspan(n);
    return head;
  }
  [[nodiscard]] std::string_view text(std::size_t n) noexcept { return as_text(bytes(n)); }
  [[nodiscard]] ByteSpan rest() const noexcept { return rest_; }
  [[nodiscard]] bool ok() const noexcept { return !failed_; }

 private:
  ByteSpan rest_;
  bool failed_ = false;
};

// Appends to a growing buffer that the caller owns and may reuse.
class ByteWriter {
 public:
  explicit ByteWriter(std::vector<std::byte>& out) noexcept : out_(&out) {}

  template <std::integral T>
  void number(T value) {
    const auto at = out_->size();
    out_->resize(at + sizeof(T));
    std::memcpy(out_->data() + at, &value, sizeof(T));
  }
  void bytes(ByteSpan bytes) { out_->insert(out_->end(), bytes.begin(), bytes.end()); }
  void text(std::string_view text) { bytes(as_bytes(text)); }
  [[nodiscard]] std::size_t size() const noexcept { return out_->size(); }
  // Overwrites a number written before, for lengths known only at the end.
  template <std::integral T>
  void patch(std::size_t at, T value) noexcept {
    std::memcpy(out_->data() + at, &value, sizeof(T));
  }

 private:
  std::vector<std::byte>* out_;
};

}  // namespace quern::ipc
