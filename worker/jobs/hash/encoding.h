// Hex and base64 (RFC 4648), by libsodium, in constant time.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace quern::hash {

using Bytes = std::vector<std::byte>;
using ByteSpan = std::span<const std::byte>;

[[nodiscard]] std::string to_hex(ByteSpan bytes);
[[nodiscard]] std::string to_base64(ByteSpan bytes);           // with padding
[[nodiscard]] std::string to_base64_unpadded(ByteSpan bytes);  // PHC strings

// Throw sdk::JobError(kInvalidArgument) naming `field`.
[[nodiscard]] Bytes from_hex(std::string_view text, std::string_view field);
[[nodiscard]] Bytes from_base64(std::string_view text, std::string_view field);  // padded or not

}  // namespace quern::hash
