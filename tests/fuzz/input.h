// Input: a fuzzer's bytes, read as small numbers and runs of bytes. Past the end it yields zeros and
// empty runs, so every input means something and a mutation never makes one invalid.
//
// check() is a fuzzer's oracle: what does not hold aborts, which both libFuzzer and the replay report.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>

#include "ipc/bytes.h"

namespace quern::fuzz {

class Input {
 public:
  Input(const std::uint8_t* data, std::size_t size) noexcept : rest_(std::as_bytes(std::span(data, size))) {}

  [[nodiscard]] bool empty() const noexcept { return rest_.empty(); }
  [[nodiscard]] std::uint8_t byte() noexcept { return static_cast<std::uint8_t>(number<std::uint8_t>()); }
  template <std::unsigned_integral T>
  [[nodiscard]] T number() noexcept {
    T value{};
    const ipc::ByteSpan raw = bytes(sizeof(T));
    if (!raw.empty()) std::memcpy(&value, raw.data(), raw.size());
    return value;
  }
  // At most `n`: fewer at the end.
  [[nodiscard]] ipc::ByteSpan bytes(std::size_t n) noexcept {
    const ipc::ByteSpan head = rest_.first(std::min(n, rest_.size()));
    rest_ = rest_.subspan(head.size());
    return head;
  }
  [[nodiscard]] ipc::ByteSpan rest() noexcept { return bytes(rest_.size()); }

 private:
  ipc::ByteSpan rest_;
};

inline void check(bool holds, const char* what) noexcept {
  if (holds) return;
  std::fprintf(stderr, "fuzz: does not hold: %s\n", what);
  std::abort();
}

}  // namespace quern::fuzz
