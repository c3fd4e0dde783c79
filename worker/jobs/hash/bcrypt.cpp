#include "worker/jobs/hash/bcrypt.h"

#include <crypt.h>
#include <fmt/format.h>
#include <sodium.h>

#include <algorithm>
#include <array>
#include <memory>
#include <string>

#include "worker/sdk/job.h"

namespace quern::hash {
namespace {

constexpr std::size_t kPasswordBytesMax = 72;
constexpr std::size_t kHashBytes = 60;
constexpr std::size_t kSaltBytes = 16;

// crypt_r's scratch: 32 KiB that hold the password's expanded key when it returns.
struct WipedCryptData {
  crypt_data data{};
  WipedCryptData() = default;
  WipedCryptData(const WipedCryptData&) = delete;
  WipedCryptData& operator=(const WipedCryptData&) = delete;
  ~WipedCryptData() { sodium_memzero(&data, sizeof data); }
};

[[noreturn]] void refuse_hash(const std::string& message) {
  throw sdk::JobError(sdk::JobErrorCode::kInvalidArgument, message, "hash");
}

void check_password(ByteSpan password) {
  if (password.size() > kPasswordBytesMax) {
    throw sdk::JobError(sdk::JobErrorCode::kBadInput,
                        fmt::format("bcrypt sees the first 72 bytes of a password only, and this one has {}; use "
                                    "hash.argon2id or hash.scrypt",
                                    password.size()));
  }
  if (std::ranges::find(password, std::byte{0}) != password.end()) {
    throw sdk::JobError(
        sdk::JobErrorCode::kBadInput,
        "bcrypt ends a password at its first NUL byte, and this one has one; use hash.argon2id or hash.scrypt");
  }
}

// crypt(3) of a terminated, wiped copy of the password. Nothing when it takes the setting for no bcrypt.
SecretText crypt(ByteSpan password, const char* setting) {
  check_password(password);
  SecretText terminated;
  terminated.reserve(password.size() + 1);
  for (const std::byte b : password) terminated.push_back(static_cast<char>(b));
  terminated.push_back('\0');
  const auto scratch = std::make_unique<WipedCryptData>();
  const char* hashed = ::crypt_r(terminated.data(), setting, &scratch->data);
  SecretText result;
  if (hashed != nullptr && *hashed != '*') append(result, hashed);
  return result;
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

}  // namespace

SecretText bcrypt(ByteSpan password, unsigned cost) {
  std::array<char, CRYPT_GENSALT_OUTPUT_SIZE> setting{};
  std::array<char, kSaltBytes> random{};
  randombytes_buf(random.data(), random.size());
  if (::crypt_gensalt_rn("$2b$", cost, random.data(), static_cast<int>(random.size()), setting.data(),
                         static_cast<int>(setting.size())) == nullptr) {
    throw sdk::JobError(sdk::JobErrorCode::kInternal, "crypt_gensalt made no salt for bcrypt");
  }
  SecretText hash = crypt(password, setting.data());
  if (hash.size() != kHashBytes) throw sdk::JobError(sdk::JobErrorCode::kInternal, "crypt made no bcrypt hash");
  return hash;
}

bool bcrypt_verify(ByteSpan password, std::string_view hash) {
  if (hash.size() != kHashBytes || !is_digit(hash[4]) || !is_digit(hash[5]) || hash[6] != '$') {
    refuse_hash("a bcrypt hash has 60 characters: $2b$, two digits of cost, $, and 53 more");
  }
  const unsigned cost = static_cast<unsigned>(hash[4] - '0') * 10 + static_cast<unsigned>(hash[5] - '0');
  if (cost < kBcryptCostMin || cost > kBcryptCostMax) {
    refuse_hash(
        fmt::format("the hash's cost is {}; it must be between {} and {}", cost, kBcryptCostMin, kBcryptCostMax));
  }
  const std::string setting(hash);
  const SecretText again = crypt(password, setting.c_str());
  if (again.empty()) refuse_hash("the hash has characters that no bcrypt hash has");
  return again.size() == hash.size() && sodium_memcmp(again.data(), hash.data(), hash.size()) == 0;
}

}  // namespace quern::hash
