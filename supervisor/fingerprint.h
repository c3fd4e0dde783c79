// Fingerprint: names a job's content (kind, parameters and payload), so that content which kills workers
// can be recognised when it comes again.
//
// BLAKE2b-256 (RFC 7693; libsodium's crypto_generichash) with a key drawn at start: nobody can make a
// content that is taken for another's, and a fingerprint of a secret says nothing outside this process.
#pragma once

#include <sodium.h>

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

namespace quern::supervisor {

struct Fingerprint {
  std::array<unsigned char, crypto_generichash_BYTES> bytes{};
  friend bool operator==(const Fingerprint&, const Fingerprint&) = default;
  // Its first eight bytes, for people and as a hash.
  [[nodiscard]] std::uint64_t id() const noexcept;
};

// Feed it everything, in order; lengths keep the parts apart.
class Fingerprinter {
 public:
  // Throws std::runtime_error when the library can't start.
  Fingerprinter(std::string_view kind, std::uint64_t body_bytes);
  void add(std::span<const std::byte> bytes) noexcept;
  void add_length(std::uint64_t length) noexcept;  // before each descriptor's contents
  [[nodiscard]] Fingerprint finish() noexcept;

 private:
  crypto_generichash_state state_;
};

}  // namespace quern::supervisor
