// The hash module: password hashing, verification and digests. The input is the password (or data);
// everything else is a parameter. Every kind is sensitive: its buffers are wiped on the way.
#include <fmt/format.h>
#include <sodium.h>

#include <algorithm>
#include <stdexcept>
#include <string>

#include "worker/jobs/hash/bcrypt.h"
#include "worker/jobs/hash/digest.h"
#include "worker/jobs/hash/encoding.h"
#include "worker/jobs/hash/kdf.h"
#include "worker/jobs/hash/phc.h"
#include "worker/sdk/job.h"

namespace {

namespace sdk = quern::sdk;
namespace hash = quern::hash;
using sdk::ParamType;

constexpr std::size_t kRandomSaltBytes = 16;

// The salt as given, or a random one; a random one makes sense only where the answer carries it.
hash::Bytes salt_of(const sdk::Job& job) {
  if (!job.has("salt")) {
    if (job.string("encoding") != "phc") {
      throw sdk::JobError(sdk::JobErrorCode::kInvalidArgument,
                          "salt is required with this encoding: only a PHC string says which random salt was used",
                          "salt");
    }
    hash::Bytes salt(kRandomSaltBytes);
    randombytes_buf(salt.data(), salt.size());
    return salt;
  }
  const std::string_view text = job.string("salt");
  if (job.string("salt_encoding") == "hex") return hash::from_hex(text, "salt");
  if (job.string("salt_encoding") == "base64") return hash::from_base64(text, "salt");
  const auto bytes = std::as_bytes(std::span(text.data(), text.size()));
  return {bytes.begin(), bytes.end()};
}

// What a password can sensibly be; the derivations' libraries count in int.
constexpr std::size_t kPasswordBytesMax = 1U << 20;

hash::ByteSpan password_of(const sdk::Job& job) {
  if (job.input().size() > kPasswordBytesMax) {
    throw sdk::JobError(sdk::JobErrorCode::kTooLarge,
                        fmt::format("a password has at most {} bytes", kPasswordBytesMax));
  }
  return job.input();
}

void write(sdk::Job& job, const hash::SecretText& text) { job.output().write(hash::view(text)); }

void write_encoded(sdk::Job& job, std::string_view encoding, hash::ByteSpan bytes) {
  if (encoding == "hex") return write(job, hash::to_hex(bytes));
  if (encoding == "base64") return write(job, hash::to_base64(bytes));
  job.output().write(bytes);
}

void scrypt(sdk::Job& job) {
  const hash::ScryptParams params{.n = static_cast<std::uint64_t>(job.integer("N")),
                                  .r = static_cast<std::uint32_t>(job.integer("r")),
                                  .p = static_cast<std::uint32_t>(job.integer("p")),
                                  .dk_len = static_cast<std::size_t>(job.integer("dk_len"))};
  const hash::Bytes salt = salt_of(job);
  const hash::SecretBytes key = hash::scrypt(password_of(job), salt, params);
  if (job.string("encoding") == "phc") return write(job, hash::format_scrypt(params, salt, key));
  write_encoded(job, job.string("encoding"), key);
}

void pbkdf2(sdk::Job& job) {
  const hash::Pbkdf2Params params{.digest = job.string("digest"),
                                  .iterations = static_cast<std::uint32_t>(job.integer("iterations")),
                                  .dk_len = static_cast<std::size_t>(job.integer("dk_len"))};
  const hash::Bytes salt = salt_of(job);
  const hash::SecretBytes key = hash::pbkdf2(password_of(job), salt, params);
  if (job.string("encoding") == "phc") return write(job, hash::format_pbkdf2(params, salt, key));
  write_encoded(job, job.string("encoding"), key);
}

void argon2id(sdk::Job& job) {
  const hash::Argon2Params params{.memory_kib = static_cast<std::uint32_t>(job.integer("memory_kib")),
                                  .time = static_cast<std::uint32_t>(job.integer("time")),
                                  .lanes = static_cast<std::uint32_t>(job.integer("parallelism")),
                                  .dk_len = static_cast<std::size_t>(job.integer("dk_len"))};
  const hash::Bytes salt = salt_of(job);
  const hash::SecretBytes key = hash::argon2id(password_of(job), salt, params);
  if (job.string("encoding") == "phc") return write(job, hash::format_argon2id(params, salt, key));
  write_encoded(job, job.string("encoding"), key);
}

void bcrypt(sdk::Job& job) { write(job, hash::bcrypt(password_of(job), static_cast<unsigned>(job.integer("cost")))); }

void digest(sdk::Job& job) {
  constexpr std::size_t kSlice = 4U << 20;
  hash::Digest digest(job.string("algorithm"));
  const hash::ByteSpan data = job.input();
  for (std::size_t at = 0; at < data.size(); at += kSlice) {
    job.throw_if_cancelled();
    digest.update(data.subspan(at, std::min(kSlice, data.size() - at)));
    job.progress(std::min(at + kSlice, data.size()), data.size());
  }
  write_encoded(job, job.string("encoding"), digest.finish());
}

void verify(sdk::Job& job) {
  job.output().write(hash::verify(password_of(job), job.string("hash")) ? "true" : "false");
}

// ---- Descriptions ------------------------------------------------------------------------------------

sdk::ParamSpec integer(const char* name, const char* help, std::int64_t fallback, double min, double max) {
  return {.name = name, .type = ParamType::kInteger, .help = help, .fallback = fallback, .min = min, .max = max};
}
sdk::ParamSpec word(const char* name, const char* help, const char* fallback, std::vector<std::string> choices) {
  return {.name = name, .type = ParamType::kString, .help = help, .fallback = fallback, .choices = std::move(choices)};
}
sdk::ParamSpec dk_len(std::int64_t fallback) {
  return integer("dk_len", "bytes to derive", fallback, hash::kDerivedBytesMin, hash::kDerivedBytesMax);
}

// What every key derivation takes besides its own parameters.
std::vector<sdk::ParamSpec> with_salt(std::vector<sdk::ParamSpec> params) {
  params.push_back({.name = "salt",
                    .type = ParamType::kString,
                    .help = "salt; random when absent (encoding phc only)",
                    .max = 1024});
  params.push_back(word("salt_encoding", "how salt is written", "utf8", {"utf8", "hex", "base64"}));
  params.push_back(word("encoding", "how the answer is written", "phc", {"phc", "hex", "base64", "raw"}));
  return params;
}

sdk::Kind kdf_kind(const char* name, const char* summary, std::vector<sdk::ParamSpec> params, void (*run)(sdk::Job&)) {
  return {.name = name,
          .summary = summary,
          .params = with_salt(std::move(params)),
          .input = {.parts_min = 1, .parts_max = 1, .help = "the password"},
          .output = "a PHC string, or the derived key",
          .sensitive = true,
          .run = run};
}

sdk::Canary canary(const char* params_json) {
  sdk::Canary canary;
  canary.params_json = params_json;
  canary.input = "tweet";
  return canary;
}

sdk::Kind scrypt_kind() {
  sdk::Kind kind = kdf_kind("hash.scrypt", "Hashes a password with scrypt (RFC 7914)",
                            {integer("N", "cost, a power of two; memory is 128 * N * r bytes", 16384, 2, 1 << 23),
                             integer("r", "block size", 8, 1, hash::kScryptBlockMax),
                             integer("p", "parallelisation", 1, 1, hash::kScryptParallelMax), dk_len(64)},
                            scrypt);
  kind.canary = canary(R"({"N":16,"r":1})");
  return kind;
}

sdk::Kind pbkdf2_kind() {
  return kdf_kind(
      "hash.pbkdf2", "Hashes a password with PBKDF2-HMAC (RFC 8018)",
      {word("digest", "hash function", "sha256", {hash::kPbkdf2Digests.begin(), hash::kPbkdf2Digests.end()}),
       integer("iterations", "rounds", 600'000, 1, hash::kPbkdf2IterationsMax), dk_len(32)},
      pbkdf2);
}

sdk::Kind argon2id_kind() {
  return kdf_kind(
      "hash.argon2id", "Hashes a password with Argon2id (RFC 9106)",
      {integer("memory_kib", "memory in KiB", 65'536, 8, hash::kArgon2MemoryKibMax),
       integer("time", "passes over the memory", 3, 1, hash::kArgon2TimeMax),
       integer("parallelism", "lanes; one worker computes them all", 1, 1, hash::kArgon2LanesMax), dk_len(32)},
      argon2id);
}

sdk::Kind bcrypt_kind() {
  return {.name = "hash.bcrypt",
          .summary = "Hashes a password with bcrypt ($2b$)",
          .params = {integer("cost", "log2 of the rounds", 12, hash::kBcryptCostMin, hash::kBcryptCostMax)},
          .input = {.parts_min = 1, .parts_max = 1, .help = "the password, at most 72 bytes"},
          .output = "a bcrypt string",
          .sensitive = true,
          .run = bcrypt};
}

sdk::Kind verify_kind() {
  return {.name = "hash.verify",
          .summary = "Says whether a password is the one a stored hash was made of",
          .params = {{.name = "hash",
                      .type = ParamType::kString,
                      .help = "a PHC string of scrypt, argon2id or pbkdf2-DIGEST, or a bcrypt string",
                      .required = true,
                      .max = 4096}},
          .input = {.parts_min = 1, .parts_max = 1, .help = "the password"},
          .output = "true or false",
          .sensitive = true,
          .run = verify};
}

sdk::Kind digest_kind() {
  return {.name = "hash.digest",
          .summary = "Digests data (SHA-2, SHA-3, BLAKE2)",
          .params = {word("algorithm", "hash function", "sha256",
                          {"sha224", "sha256", "sha384", "sha512", "sha3-256", "sha3-512", "blake2b512", "blake2s256"}),
                     word("encoding", "how the answer is written", "hex", {"hex", "base64", "raw"})},
          .input = {.parts_min = 1, .parts_max = 1, .help = "any data"},
          .output = "the digest",
          .sensitive = true,
          .run = digest,
          .canary = canary("")};
}

// The libraries' own set-up is done once, before any worker is forked.
void preload() {
  if (sodium_init() < 0) throw std::runtime_error("libsodium could not be initialised");
  (void)hash::pbkdf2({}, {}, {.iterations = 1});
}

sdk::Module describe_module() {
  sdk::Module module;
  module.name = "hash";
  for (const auto kind : {scrypt_kind, pbkdf2_kind, argon2id_kind, bcrypt_kind, verify_kind, digest_kind}) {
    module.kinds.push_back(kind());
  }
  module.preload = preload;
  return module;
}

}  // namespace

QUERN_JOB_MODULE(describe_module)
