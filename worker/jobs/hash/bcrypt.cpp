#include "worker/jobs/hash/bcrypt.h"

#include <crypt.h>
#include <sodium.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <memory>

#include "worker/jobs/hash/secret.h"
#include "worker/sdk/job.h"

namespace quern::hash {
namespace {

constexpr std::size_t kPasswordBytesMax = 72;
constexpr std::size_t kHashBytes = 60;

struct WipedCryptData {
  crypt_data data{};
  ~WipedCryptData() { sodium_memzero(&data, sizeof data); }
};

[[noreturn]] void refuse(const std::string& message, const char* field) {
  throw sdk::JobError(sdk::JobErrorCode::kInvalidArgument, message, field);
}

// crypt(3) with a terminated, wiped copy of the password.
std::string crypt(ByteSpan password, const char* setting) {
  if (password.size() > kPasswordBytesMax) {
    refuse("bcrypt uses the first 72 bytes of a password only; this one is longer (use argon2id or scrypt)", "parts");
  }
  if (std::ranges::find(password, std::byte{0}) != password.end()) {
    refuse("bcrypt can't hash a password with a NUL byte (use argon2id or scrypt)", "parts");
  }
  Secret terminated(password.size() + 1);
  if (!password.empty()) std::memcpy(terminated.data(), password.data(), password.size());
  const auto scratch = std::make_unique<WipedCryptData>();
  const char* hashed = ::crypt_r(terminated.chars(), setting, &scratch->data);
  if (hashed == nullptr || *hashed == '*') refuse("this is no bcrypt hash", "hash");
  return hashed;
}

}  // namespace

std::string bcrypt(ByteSpan password, unsigned cost) {
  char setting[CRYPT_GENSALT_OUTPUT_SIZE];
  unsigned char random[16];
  randombytes_buf(random, sizeof random);
  if (::crypt_gensalt_rn("$2b$", cost, reinterpret_cast<const char*>(random), sizeof random, setting, sizeof setting) == nullptr) {
    throw sdk::JobError(sdk::JobErrorCode::kInternal, "no salt for bcrypt");
  }
  return crypt(password, setting);
}

bool bcrypt_verify(ByteSpan password, const std::string& hash) {
  unsigned cost = 0;
  if (hash.size() != kHashBytes || std::from_chars(hash.data() + 4, hash.data() + 6, cost).ec != std::errc{} || hash[6] != '$') {
    refuse("a bcrypt hash has 60 characters, $2b$COST$ and 53 more", "hash");
  }
  if (cost < kBcryptCostMin || cost > kBcryptCostMax) refuse("the hash's cost is outside 4 to 16", "hash");
  const std::string again = crypt(password, hash.c_str());
  return again.size() == hash.size() && sodium_memcmp(again.data(), hash.data(), hash.size()) == 0;
}

}  // namespace quern::hash
