// A result part that stays in memory: for what goes into another result.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "worker/sdk/job.h"

namespace quern::image {

class MemoryOutput final : public sdk::Output {
 public:
  [[nodiscard]] std::span<std::byte> prepare(std::size_t n) override {
    bytes_.resize(size_ + n);
    return std::span(bytes_).subspan(size_);
  }
  void commit(std::size_t n) override { size_ += n; }
  [[nodiscard]] std::size_t size() const noexcept override { return size_; }
  [[nodiscard]] std::span<const std::byte> bytes() const { return std::span(bytes_).first(size_); }

 private:
  std::vector<std::byte> bytes_{};
  std::size_t size_ = 0;
};

}  // namespace quern::image
