#include "supervisor/fingerprint.h"

#include <cstring>
#include <stdexcept>

namespace quern::supervisor {
namespace {

using Key = std::array<unsigned char, crypto_generichash_KEYBYTES>;

const Key& process_key() {
  static const Key key = [] {
    if (sodium_init() < 0) throw std::runtime_error("libsodium can't start");
    Key drawn;
    crypto_generichash_keygen(drawn.data());
    return drawn;
  }();
  return key;
}

}  // namespace

std::uint64_t Fingerprint::id() const noexcept {
  std::uint64_t id = 0;
  std::memcpy(&id, bytes.data(), sizeof id);
  return id;
}

Fingerprinter::Fingerprinter(std::string_view kind, std::uint64_t body_bytes) {
  const Key& key = process_key();
  crypto_generichash_init(&state_, key.data(), key.size(), crypto_generichash_BYTES);
  add_length(kind.size());
  add(std::as_bytes(std::span(kind)));
  add_length(body_bytes);
}

void Fingerprinter::add(std::span<const std::byte> bytes) noexcept {
  crypto_generichash_update(&state_, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
}

void Fingerprinter::add_length(std::uint64_t length) noexcept { add(std::as_bytes(std::span(&length, 1))); }

Fingerprint Fingerprinter::finish() noexcept {
  Fingerprint fingerprint;
  crypto_generichash_final(&state_, fingerprint.bytes.data(), fingerprint.bytes.size());
  return fingerprint;
}

}  // namespace quern::supervisor
