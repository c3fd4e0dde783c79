// The key derivation functions, each by the faster sound library of Debian 12, with bounds on the
// memory and work that a parameter choice asks for. docs/jobs.md has the measurements.
//
//     scrypt    RFC 7914   libsodium   (1.2-1.3 times OpenSSL's speed, equal output)
//     PBKDF2    RFC 8018   OpenSSL
//     Argon2id  RFC 9106   libargon2   (libsodium's takes neither lanes nor other salt lengths)
//
// All throw sdk::JobError: kInvalidArgument for parameters out of bounds (naming the field),
// kOutOfMemory when the memory can't be had.
#pragma once

#include <cstdint>
#include <string_view>

#include "worker/jobs/hash/encoding.h"
#include "worker/jobs/hash/secret.h"

namespace quern::hash {

// What one job may use: 1 GiB, as much as the strongest sensible parameters need.
inline constexpr std::uint64_t kMemoryBytesMax = 1ULL << 30;
inline constexpr std::uint64_t kDerivedBytesMax = 1024;

struct ScryptParams {
  std::uint64_t n = 16384;  // cost: a power of two
  std::uint32_t r = 8;      // block size
  std::uint32_t p = 1;      // parallelisation
  std::size_t dk_len = 64;
};
[[nodiscard]] Secret scrypt(ByteSpan password, ByteSpan salt, const ScryptParams& params);

struct Pbkdf2Params {
  std::string_view digest = "sha256";  // sha1, sha224, sha256, sha384, sha512
  std::uint32_t iterations = 600'000;
  std::size_t dk_len = 32;
};
[[nodiscard]] Secret pbkdf2(ByteSpan password, ByteSpan salt, const Pbkdf2Params& params);

struct Argon2Params {
  std::uint32_t memory_kib = 65'536;
  std::uint32_t time = 3;
  std::uint32_t lanes = 4;
  std::size_t dk_len = 32;
  ByteSpan secret{};      // RFC 9106's K; tests only
  ByteSpan associated{};  // RFC 9106's X; tests only
};
[[nodiscard]] Secret argon2id(ByteSpan password, ByteSpan salt, const Argon2Params& params);

}  // namespace quern::hash
