#include "worker/jobs/hash/kdf.h"

#include <argon2.h>
#include <errno.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <openssl/evp.h>
#include <sodium.h>

#include <algorithm>
#include <bit>
#include <string>

#include "worker/sdk/job.h"

namespace quern::hash {
namespace {

const char* chars(ByteSpan bytes) { return reinterpret_cast<const char*>(raw(bytes)); }
// libargon2 declares its inputs non-const and only writes to them when asked to wipe.
std::uint8_t* unconst(ByteSpan bytes) { return const_cast<std::uint8_t*>(raw(bytes)); }

[[noreturn]] void refuse(const std::string& message, const char* field) {
  throw sdk::JobError(sdk::JobErrorCode::kInvalidArgument, message, field);
}

[[noreturn]] void no_memory(std::uint64_t bytes) {
  throw sdk::JobError(sdk::JobErrorCode::kOutOfMemory,
                      fmt::format("these parameters need {} KiB of memory, which can't be had now", bytes >> 10));
}

// False: libsodium has no call for these parameters.
bool argon2id_by_sodium(ByteSpan password, ByteSpan salt, const Argon2Params& params, SecretBytes& key) {
  if (params.lanes != 1 || salt.size() != crypto_pwhash_argon2id_SALTBYTES ||
      params.dk_len < crypto_pwhash_argon2id_BYTES_MIN || !params.secret.empty() || !params.associated.empty()) {
    return false;
  }
  const std::uint64_t memory = std::uint64_t{params.memory_kib} << 10;
  if (crypto_pwhash_argon2id(unsigned_data(key), key.size(), chars(password), password.size(), raw(salt), params.time,
                             memory, crypto_pwhash_argon2id_ALG_ARGON2ID13) != 0) {
    if (errno == ENOMEM) no_memory(memory);
    throw sdk::JobError(sdk::JobErrorCode::kInternal, "libsodium refused to derive the key");
  }
  return true;
}

void argon2id_by_argon2(ByteSpan password, ByteSpan salt, const Argon2Params& params, SecretBytes& key) {
  argon2_context context{};
  context.out = unsigned_data(key);
  context.outlen = static_cast<std::uint32_t>(key.size());
  context.pwd = unconst(password);
  context.pwdlen = static_cast<std::uint32_t>(password.size());
  context.salt = unconst(salt);
  context.saltlen = static_cast<std::uint32_t>(salt.size());
  context.secret = unconst(params.secret);
  context.secretlen = static_cast<std::uint32_t>(params.secret.size());
  context.ad = unconst(params.associated);
  context.adlen = static_cast<std::uint32_t>(params.associated.size());
  context.t_cost = params.time;
  context.m_cost = params.memory_kib;
  context.lanes = params.lanes;
  context.threads = 1;  // a worker is one thread; lanes only shape the memory
  context.version = ARGON2_VERSION_13;
  context.flags = ARGON2_DEFAULT_FLAGS;
  const int failure = argon2id_ctx(&context);
  if (failure == ARGON2_MEMORY_ALLOCATION_ERROR) no_memory(std::uint64_t{params.memory_kib} << 10);
  if (failure != ARGON2_OK) refuse(argon2_error_message(failure), "memory_kib");
}

}  // namespace

SecretBytes scrypt(ByteSpan password, ByteSpan salt, const ScryptParams& params) {
  if (params.n < 2 || !std::has_single_bit(params.n)) {
    refuse(fmt::format("N must be a power of two, at least 2 (got {})", params.n), "N");
  }
  if (params.n > kMemoryBytesMax / 128 / params.r) {
    refuse(fmt::format("N={} and r={} need 128 * N * r bytes of memory, which is more than {} MiB; choose a smaller N",
                       params.n, params.r, kMemoryBytesMax >> 20),
           "N");
  }
  // RFC 7914, section 2: N < 2^(128 * r / 8). With r = 1 that is 2^16.
  if (params.r == 1 && params.n >= 1U << 16) refuse("with r=1, N must be less than 65536 (RFC 7914)", "N");
  SecretBytes key(params.dk_len);
  if (crypto_pwhash_scryptsalsa208sha256_ll(raw(password), password.size(), raw(salt), salt.size(), params.n, params.r,
                                            params.p, unsigned_data(key), key.size()) != 0) {
    no_memory(128 * params.n * params.r);
  }
  return key;
}

SecretBytes pbkdf2(ByteSpan password, ByteSpan salt, const Pbkdf2Params& params) {
  if (std::ranges::find(kPbkdf2Digests, params.digest) == kPbkdf2Digests.end()) {
    refuse(fmt::format("digest must be one of {}", fmt::join(kPbkdf2Digests, ", ")), "digest");
  }
  const EVP_MD* digest = EVP_get_digestbyname(std::string(params.digest).c_str());
  SecretBytes key(params.dk_len);
  if (digest == nullptr || PKCS5_PBKDF2_HMAC(chars(password), static_cast<int>(password.size()), raw(salt),
                                             static_cast<int>(salt.size()), static_cast<int>(params.iterations), digest,
                                             static_cast<int>(key.size()), unsigned_data(key)) != 1) {
    throw sdk::JobError(sdk::JobErrorCode::kInternal, "OpenSSL refused to derive the key");
  }
  return key;
}

SecretBytes argon2id(ByteSpan password, ByteSpan salt, const Argon2Params& params) {
  if (params.memory_kib < 8 * params.lanes) {
    refuse(fmt::format("memory_kib must be at least 8 * parallelism, here {} (RFC 9106)", 8 * params.lanes),
           "memory_kib");
  }
  if (salt.size() < ARGON2_MIN_SALT_LENGTH) refuse("salt must have at least 8 bytes (RFC 9106)", "salt");
  SecretBytes key(params.dk_len);
  if (!argon2id_by_sodium(password, salt, params, key)) argon2id_by_argon2(password, salt, params, key);
  return key;
}

}  // namespace quern::hash
