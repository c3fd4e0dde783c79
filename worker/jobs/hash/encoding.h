// Hex and base64 (RFC 4648), by libsodium, in constant time.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

#include "worker/jobs/hash/secret.h"

namespace quern::hash {

using Bytes = std::vector<std::byte>;
using ByteSpan = std::span<const std::byte>;

// For libraries that forbid a null pointer even to no bytes.
[[nodiscard]] inline const unsigned char* raw(ByteSpan bytes) noexcept {
  static constexpr unsigned char kNothing = 0;
  return bytes.empty() ? &kNothing : reinterpret_cast<const unsigned char*>(bytes.data());
}

[[nodiscard]] SecretText to_hex(ByteSpan bytes);
[[nodiscard]] SecretText to_base64(ByteSpan bytes);           // with padding
[[nodiscard]] SecretText to_base64_unpadded(ByteSpan bytes);  // PHC strings

// Throw sdk::JobError(kInvalidArgument) naming `field`.
[[nodiscard]] Bytes from_hex(std::string_view text, std::string_view field);
[[nodiscard]] Bytes from_base64(std::string_view text, std::string_view field);  // padded, or not at all

}  // namespace quern::hash
