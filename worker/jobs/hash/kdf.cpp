#include "worker/jobs/hash/kdf.h"

#include <argon2.h>
#include <fmt/format.h>
#include <openssl/evp.h>
#include <sodium.h>

#include <algorithm>
#include <bit>
#include <memory>
#include <new>
#include <string>

#include "worker/sdk/job.h"

namespace quern::hash {
namespace {

const unsigned char* raw(ByteSpan bytes) { return reinterpret_cast<const unsigned char*>(bytes.data()); }
// libargon2 declares its inputs non-const and only writes to them when asked to wipe.
std::uint8_t* unconst(ByteSpan bytes) { return const_cast<std::uint8_t*>(raw(bytes)); }

[[noreturn]] void refuse(const std::string& message, const char* field) {
  throw sdk::JobError(sdk::JobErrorCode::kInvalidArgument, message, field);
}

[[noreturn]] void no_memory() {
  throw sdk::JobError(sdk::JobErrorCode::kOutOfMemory, "there is not enough memory for these parameters now");
}

}  // namespace

Secret scrypt(ByteSpan password, ByteSpan salt, const ScryptParams& params) {
  if (params.n < 2 || !std::has_single_bit(params.n)) refuse(fmt::format("N must be a power of two, at least 2 (got {})", params.n), "N");
  const std::uint64_t memory = 128 * params.n * params.r + 128ULL * params.r * params.p;
  if (params.n > kMemoryBytesMax / 128 / params.r || memory > kMemoryBytesMax) {
    refuse(fmt::format("N={}, r={} and p={} need more than 1 GiB of memory; choose smaller ones", params.n, params.r, params.p), "N");
  }
  if (std::uint64_t{params.r} * params.p >= 1ULL << 30) refuse("r * p must be less than 2^30 (RFC 7914)", "p");
  Secret key(params.dk_len);
  if (crypto_pwhash_scryptsalsa208sha256_ll(raw(password), password.size(), raw(salt), salt.size(), params.n, params.r,
                                            params.p, key.unsigned_data(), key.size()) != 0) {
    no_memory();
  }
  return key;
}

Secret pbkdf2(ByteSpan password, ByteSpan salt, const Pbkdf2Params& params) {
  const EVP_MD* digest = EVP_get_digestbyname(std::string(params.digest).c_str());
  if (digest == nullptr) refuse("digest must be one of sha1, sha224, sha256, sha384, sha512", "digest");
  Secret key(params.dk_len);
  if (PKCS5_PBKDF2_HMAC(reinterpret_cast<const char*>(password.data()), static_cast<int>(password.size()), raw(salt),
                        static_cast<int>(salt.size()), static_cast<int>(params.iterations), digest,
                        static_cast<int>(key.size()), key.unsigned_data()) != 1) {
    throw sdk::JobError(sdk::JobErrorCode::kInternal, "OpenSSL refused to derive the key");
  }
  return key;
}

Secret argon2id(ByteSpan password, ByteSpan salt, const Argon2Params& params) {
  if (params.memory_kib < 8 * params.lanes) {
    refuse(fmt::format("memory_kib must be at least 8 * parallelism, {} (RFC 9106)", 8 * params.lanes), "memory_kib");
  }
  if (salt.size() < ARGON2_MIN_SALT_LENGTH) refuse("salt must have at least 8 bytes (RFC 9106)", "salt");
  Secret key(params.dk_len);
  argon2_context context{};
  context.out = key.unsigned_data();
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
  if (failure == ARGON2_MEMORY_ALLOCATION_ERROR) no_memory();
  if (failure != ARGON2_OK) refuse(argon2_error_message(failure), "memory_kib");
  return key;
}

}  // namespace quern::hash
