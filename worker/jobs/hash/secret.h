// Memory that is wiped before it is given back, wherever the exception comes from: passwords' copies,
// derived keys, and the text they are written in. (The input itself is wiped by the worker.)
#pragma once

#include <sodium.h>

#include <cstddef>
#include <memory>
#include <string_view>
#include <vector>

namespace quern::hash {

// For containers whose every block must be wiped, those left behind by growing, too. Not for std::string:
// short ones live in the object, where no allocator sees them.
template <class T>
struct WipingAllocator {
  using value_type = T;
  WipingAllocator() = default;
  template <class U>
  WipingAllocator(const WipingAllocator<U>& /*other*/) noexcept {}  // NOLINT(google-explicit-constructor)

  [[nodiscard]] T* allocate(std::size_t n) { return std::allocator<T>().allocate(n); }
  void deallocate(T* memory, std::size_t n) noexcept {
    sodium_memzero(memory, n * sizeof(T));
    std::allocator<T>().deallocate(memory, n);
  }
  friend bool operator==(const WipingAllocator& /*a*/, const WipingAllocator& /*b*/) { return true; }
};

using SecretBytes = std::vector<std::byte, WipingAllocator<std::byte>>;
using SecretText = std::vector<char, WipingAllocator<char>>;

[[nodiscard]] inline std::string_view view(const SecretText& text) { return {text.data(), text.size()}; }
inline void append(SecretText& text, std::string_view more) { text.insert(text.end(), more.begin(), more.end()); }
[[nodiscard]] inline unsigned char* unsigned_data(SecretBytes& bytes) {
  return reinterpret_cast<unsigned char*>(bytes.data());
}

}  // namespace quern::hash
