// bcrypt ("$2b$", Provos and Mazieres, USENIX 1999), by libxcrypt's crypt(3).
#pragma once

#include <string>
#include <string_view>

#include "worker/jobs/hash/encoding.h"

namespace quern::hash {

// Throws sdk::JobError(kInvalidArgument) for passwords bcrypt can't tell apart: longer than 72 bytes,
// or with a NUL byte.
[[nodiscard]] std::string bcrypt(ByteSpan password, unsigned cost);

// Whether `hash` ($2a$, $2b$ or $2y$) is of this password; in constant time. Cost bounded as in bcrypt().
[[nodiscard]] bool bcrypt_verify(ByteSpan password, const std::string& hash);

inline constexpr unsigned kBcryptCostMin = 4;
inline constexpr unsigned kBcryptCostMax = 16;  // about 5 s; 31 would be a week

}  // namespace quern::hash
