// bcrypt ("$2b$", Provos and Mazieres, USENIX 1999), by libxcrypt's crypt(3).
#pragma once

#include <string_view>

#include "worker/jobs/hash/encoding.h"

namespace quern::hash {

inline constexpr unsigned kBcryptCostMin = 4;
inline constexpr unsigned kBcryptCostMax = 16;  // a few seconds; 31 would be a day

// Throws sdk::JobError(kBadInput) for passwords that bcrypt can't tell apart: longer than 72 bytes, or
// with a NUL byte.
[[nodiscard]] SecretText bcrypt(ByteSpan password, unsigned cost);

// Whether `hash` ($2a$, $2b$ or $2y$) is of this password; in constant time. Throws as bcrypt() does, and
// sdk::JobError(kInvalidArgument, field "hash") for what is no bcrypt hash or costs more than allowed.
[[nodiscard]] bool bcrypt_verify(ByteSpan password, std::string_view hash);

}  // namespace quern::hash
