// Secret: bytes that are wiped when they go, wherever the exception comes from.
#pragma once

#include <sodium.h>

#include <cstddef>
#include <span>
#include <vector>

namespace quern::hash {

class Secret {
 public:
  explicit Secret(std::size_t bytes) : bytes_(bytes) {}
  Secret(Secret&&) noexcept = default;  // a moved-from vector is empty: nothing is left to wipe
  Secret& operator=(Secret&&) = delete;
  Secret(const Secret&) = delete;
  Secret& operator=(const Secret&) = delete;
  ~Secret() { sodium_memzero(bytes_.data(), bytes_.size()); }

  [[nodiscard]] std::byte* data() noexcept { return bytes_.data(); }
  [[nodiscard]] unsigned char* unsigned_data() noexcept { return reinterpret_cast<unsigned char*>(bytes_.data()); }
  [[nodiscard]] char* chars() noexcept { return reinterpret_cast<char*>(bytes_.data()); }
  [[nodiscard]] std::size_t size() const noexcept { return bytes_.size(); }
  [[nodiscard]] std::span<const std::byte> span() const noexcept { return bytes_; }

 private:
  std::vector<std::byte> bytes_;
};

}  // namespace quern::hash
