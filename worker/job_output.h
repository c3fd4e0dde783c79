// JobOutput: one part of a result while a module writes it. It begins in the channel's output extent,
// and moves to a memfd of its own when it outgrows it; either way the module writes into the memory
// that the supervisor or the client will read.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "common/unique_fd.h"
#include "worker/sdk/job.h"

namespace quern::worker {

class JobOutput final : public sdk::Output {
 public:
  // `room`: what is left of the extent. `bytes_max`: what the job may still produce.
  JobOutput(std::string_view part_name, std::span<std::byte> room, std::uint64_t bytes_max);
  JobOutput(JobOutput&& other) noexcept;
  JobOutput& operator=(JobOutput&&) = delete;
  ~JobOutput() override;

  [[nodiscard]] std::span<std::byte> prepare(std::size_t n) override;
  void commit(std::size_t n) override;
  [[nodiscard]] std::size_t size() const noexcept override { return size_; }

  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  [[nodiscard]] bool in_memfd() const noexcept { return memfd_.valid(); }
  // Where this part begins in `extent`, the one it was given its room from.
  [[nodiscard]] std::size_t extent_offset(std::span<const std::byte> extent) const noexcept {
    return static_cast<std::size_t>(room_.data() - extent.data());
  }
  // The next part begins after this one. Should the module write here again (sdk::Output forbids it), this
  // part moves to a memfd and can't touch its neighbour.
  void give_back_room() noexcept { room_ = room_.first(in_memfd() ? 0 : size_); }
  // Makes this part, while it is empty, the contents of a sealed memfd; nothing can be written to it then.
  void adopt(unique_fd sealed, std::uint64_t bytes);
  // Ends writing: the memfd is trimmed, unmapped and sealed. Throws sdk::JobError when that fails.
  void finish();
  [[nodiscard]] int fd() const noexcept { return memfd_.get(); }

 private:
  [[noreturn]] void too_large() const;
  void grow_to(std::size_t capacity);
  void unmap() noexcept;

  std::string name_;
  std::span<std::byte> room_;
  std::uint64_t bytes_max_;
  std::size_t size_ = 0;
  std::size_t prepared_ = 0;
  unique_fd memfd_;
  bool adopted_ = false;
  std::byte* mapped_ = nullptr;
  std::size_t mapped_bytes_ = 0;
};

}  // namespace quern::worker
