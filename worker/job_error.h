// From what a job module threw to the error the client reads.
//
// The one place that knows how a JobError, an exception of the standard library or one of ours becomes
// an Error. Messages quote decoders and decoders quote inputs, so every text is bounded and cleaned here.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "common/error.h"
#include "ipc/channel.h"

namespace quern::worker {

// An encoded error fits the smallest output extent, one page.
inline constexpr std::size_t kErrorMessageBytesMax = 2048;
inline constexpr std::size_t kErrorFieldBytesMax = 64;
static_assert(kErrorMessageBytesMax + kErrorFieldBytesMax + 256 <= ipc::kPageBytes);

// The exception being handled, as the job's error. Call in a catch block.
[[nodiscard]] Error error_of_current_exception();

// At most `bytes_max` bytes of `text`, as valid UTF-8 without control characters: what is neither
// becomes '?'.
[[nodiscard]] std::string printable(std::string_view text, std::size_t bytes_max);
// Likewise into `into`, without allocating. Returns how many bytes were written.
[[nodiscard]] std::size_t write_printable(std::string_view text, std::span<char> into) noexcept;

}  // namespace quern::worker
