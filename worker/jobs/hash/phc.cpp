#include "worker/jobs/hash/phc.h"

#include <fmt/format.h>
#include <sodium.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "worker/jobs/hash/bcrypt.h"
#include "worker/sdk/job.h"

namespace quern::hash {
namespace {

[[noreturn]] void refuse(const std::string& message) {
  throw sdk::JobError(sdk::JobErrorCode::kInvalidArgument, message, "hash");
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> pieces;
  for (std::size_t at = 0;;) {
    const std::size_t end = text.find(separator, at);
    pieces.push_back(text.substr(at, end - at));
    if (end == std::string_view::npos) return pieces;
    at = end + 1;
  }
}

// "m=65536,t=3,p=4": each name once, none unknown.
class Numbers {
 public:
  Numbers(std::string_view text, std::initializer_list<std::string_view> known) {
    for (const std::string_view pair : split(text, ',')) {
      const std::size_t equals = pair.find('=');
      if (equals == std::string_view::npos) refuse("the hash's parameters are not name=value");
      const std::string_view name = pair.substr(0, equals);
      if (std::ranges::find(known, name) == known.end())
        refuse("the hash has a parameter that is not of its algorithm");
      if (std::ranges::find(numbers_, name, &Number::first) != numbers_.end()) refuse("the hash has a parameter twice");
      std::uint32_t number = 0;
      const char* end = pair.data() + pair.size();
      const auto read = std::from_chars(pair.data() + equals + 1, end, number);
      if (read.ec != std::errc{} || read.ptr != end) refuse(fmt::format("the hash's {} is no whole number", name));
      numbers_.emplace_back(name, number);
    }
  }
  [[nodiscard]] std::uint32_t take(std::string_view name, std::uint32_t min, std::uint32_t max) const {
    const auto at = std::ranges::find(numbers_, name, &Number::first);
    if (at == numbers_.end()) refuse(fmt::format("the hash has no parameter {}", name));
    if (at->second < min || at->second > max) {
      refuse(fmt::format("the hash's {} is {}; it must be between {} and {}", name, at->second, min, max));
    }
    return at->second;
  }

 private:
  using Number = std::pair<std::string_view, std::uint32_t>;
  std::vector<Number> numbers_;
};

bool same(const SecretBytes& key, const Bytes& expected) {
  return key.size() == expected.size() && sodium_memcmp(key.data(), expected.data(), expected.size()) == 0;
}

Bytes expected_key(std::string_view text) {
  Bytes key = from_base64(text, "hash");
  if (key.size() < kDerivedBytesMin || key.size() > kDerivedBytesMax) {
    refuse(fmt::format("the hash's last field has {} bytes; it must have {} to {}", key.size(), kDerivedBytesMin,
                       kDerivedBytesMax));
  }
  return key;
}

bool verify_scrypt(ByteSpan password, const std::vector<std::string_view>& fields) {
  if (fields.size() != 5) refuse("a scrypt hash is $scrypt$ln=..,r=..,p=..$SALT$HASH");
  const Numbers numbers(fields[2], {"ln", "r", "p"});
  const Bytes key = expected_key(fields[4]);
  const ScryptParams params{.n = std::uint64_t{1} << numbers.take("ln", 1, 30),
                            .r = numbers.take("r", 1, kScryptBlockMax),
                            .p = numbers.take("p", 1, kScryptParallelMax),
                            .dk_len = key.size()};
  return same(scrypt(password, from_base64(fields[3], "hash"), params), key);
}

bool verify_pbkdf2(ByteSpan password, const std::vector<std::string_view>& fields) {
  if (fields.size() != 5) refuse("a PBKDF2 hash is $pbkdf2-DIGEST$i=..,l=..$SALT$HASH");
  const Numbers numbers(fields[2], {"i", "l"});
  const Bytes key = expected_key(fields[4]);
  const Pbkdf2Params params{.digest = fields[1].substr(std::string_view("pbkdf2-").size()),
                            .iterations = numbers.take("i", 1, kPbkdf2IterationsMax),
                            .dk_len = key.size()};
  return same(pbkdf2(password, from_base64(fields[3], "hash"), params), key);
}

bool verify_argon2id(ByteSpan password, const std::vector<std::string_view>& fields) {
  if (fields.size() != 6 || fields[2] != "v=19") refuse("an Argon2id hash is $argon2id$v=19$m=..,t=..,p=..$SALT$HASH");
  const Numbers numbers(fields[3], {"m", "t", "p"});
  const Bytes key = expected_key(fields[5]);
  const Argon2Params params{.memory_kib = numbers.take("m", 8, kArgon2MemoryKibMax),
                            .time = numbers.take("t", 1, kArgon2TimeMax),
                            .lanes = numbers.take("p", 1, kArgon2LanesMax),
                            .dk_len = key.size()};
  return same(argon2id(password, from_base64(fields[4], "hash"), params), key);
}

bool verify_by_algorithm(ByteSpan password, std::string_view hash) {
  const auto fields = split(hash, '$');
  if (fields.size() < 2 || !fields[0].empty())
    refuse("the hash is no PHC string; one begins with $scrypt$, $argon2id$, ...");
  if (fields[1] == "scrypt") return verify_scrypt(password, fields);
  if (fields[1].starts_with("pbkdf2-")) return verify_pbkdf2(password, fields);
  if (fields[1] == "argon2id") return verify_argon2id(password, fields);
  refuse("the hash is of an unknown algorithm; known are scrypt, argon2id, pbkdf2-DIGEST and bcrypt ($2b$)");
}

SecretText with_salt_and_key(const std::string& prefix, ByteSpan salt, ByteSpan key) {
  SecretText text;
  append(text, prefix);
  append(text, view(to_base64_unpadded(salt)));
  append(text, "$");
  append(text, view(to_base64_unpadded(key)));
  return text;
}

}  // namespace

SecretText format_scrypt(const ScryptParams& params, ByteSpan salt, ByteSpan key) {
  return with_salt_and_key(fmt::format("$scrypt$ln={},r={},p={}$", std::countr_zero(params.n), params.r, params.p),
                           salt, key);
}

SecretText format_pbkdf2(const Pbkdf2Params& params, ByteSpan salt, ByteSpan key) {
  return with_salt_and_key(fmt::format("$pbkdf2-{}$i={},l={}$", params.digest, params.iterations, key.size()), salt,
                           key);
}

SecretText format_argon2id(const Argon2Params& params, ByteSpan salt, ByteSpan key) {
  return with_salt_and_key(fmt::format("$argon2id$v=19$m={},t={},p={}$", params.memory_kib, params.time, params.lanes),
                           salt, key);
}

bool verify(ByteSpan password, std::string_view hash) {
  if (hash.starts_with("$2a$") || hash.starts_with("$2b$") || hash.starts_with("$2y$"))
    return bcrypt_verify(password, hash);
  try {
    return verify_by_algorithm(password, hash);
  } catch (const sdk::JobError& error) {
    // what the derivations call N or salt stands in the hash here
    if (error.code() != sdk::JobErrorCode::kInvalidArgument || error.field() == "hash") throw;
    refuse(fmt::format("the hash's parameters are refused: {}", error.what()));
  }
}

}  // namespace quern::hash
