// UTF-8 (RFC 3629) in text that may be anything: file names, messages of workers.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace quern {

// How many bytes the character at the beginning of `text` has; 0 when there is none, or what stands there is no UTF-8.
[[nodiscard]] std::size_t utf8_character(std::string_view text) noexcept;

// `text` with U+FFFD for each byte that is no UTF-8: what JSON can carry.
[[nodiscard]] std::string valid_utf8(std::string_view text);

}  // namespace quern
