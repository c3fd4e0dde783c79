// The key derivation functions, each by the faster sound library of Debian 12, with bounds on the
// memory and work that a parameter choice asks for. docs/jobs.md has the measurements.
//
//     scrypt    RFC 7914   libsodium, 1.3 to 1.6 times OpenSSL's speed
//     PBKDF2    RFC 8018   OpenSSL
//     Argon2id  RFC 9106   libsodium with one lane, twice libargon2's speed; libargon2 for what
//                          libsodium has no call for: more lanes, a salt that has not 16 bytes, a secret
//
// All throw sdk::JobError: kInvalidArgument for parameters out of bounds (naming the field),
// kOutOfMemory when the memory can't be had.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "worker/jobs/hash/encoding.h"
#include "worker/jobs/hash/secret.h"

namespace quern::hash {

// What one job may ask for, by its parameters or by a stored hash.
inline constexpr std::uint64_t kMemoryBytesMax = 1ULL << 30;  // RFC 7914's largest test vector needs it
inline constexpr std::uint64_t kDerivedBytesMin = 8;
inline constexpr std::uint64_t kDerivedBytesMax = 1024;
inline constexpr std::uint32_t kScryptBlockMax = 1024;
inline constexpr std::uint32_t kScryptParallelMax = 64;
inline constexpr std::uint32_t kPbkdf2IterationsMax = 100'000'000;
inline constexpr std::uint32_t kArgon2MemoryKibMax = kMemoryBytesMax >> 10;
inline constexpr std::uint32_t kArgon2TimeMax = 1000;
inline constexpr std::uint32_t kArgon2LanesMax = 64;
inline constexpr std::array<std::string_view, 5> kPbkdf2Digests{"sha1", "sha224", "sha256", "sha384", "sha512"};

struct ScryptParams {
  std::uint64_t n = 16384;  // cost: a power of two
  std::uint32_t r = 8;      // block size
  std::uint32_t p = 1;      // parallelisation
  std::size_t dk_len = 64;
};
[[nodiscard]] SecretBytes scrypt(ByteSpan password, ByteSpan salt, const ScryptParams& params);

struct Pbkdf2Params {
  std::string_view digest = "sha256";  // one of kPbkdf2Digests
  std::uint32_t iterations = 600'000;
  std::size_t dk_len = 32;
};
[[nodiscard]] SecretBytes pbkdf2(ByteSpan password, ByteSpan salt, const Pbkdf2Params& params);

struct Argon2Params {
  std::uint32_t memory_kib = 65'536;
  std::uint32_t time = 3;
  std::uint32_t lanes = 1;
  std::size_t dk_len = 32;
  ByteSpan secret{};  // RFC 9106's K and X, that no kind offers: its test vector has them
  ByteSpan associated{};
};
[[nodiscard]] SecretBytes argon2id(ByteSpan password, ByteSpan salt, const Argon2Params& params);

}  // namespace quern::hash
