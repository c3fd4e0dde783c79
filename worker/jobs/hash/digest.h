// Plain digests, by OpenSSL: SHA-2 and SHA-3 (FIPS 180-4, 202), BLAKE2 (RFC 7693).
#pragma once

#include <string_view>

#include "worker/jobs/hash/encoding.h"

namespace quern::hash {

[[nodiscard]] Bytes digest(std::string_view algorithm, ByteSpan data);

}  // namespace quern::hash
