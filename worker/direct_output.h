// DirectOutput: the first part of a result when it leaves the worker while it is produced, into a file of the client's
// or down the stream ring. Small writes are gathered in a buffer, so that a result of any size needs no memory of
// its size.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "worker/sdk/job.h"

namespace quern::worker {

class DirectOutput : public sdk::Output {
 public:
  [[nodiscard]] std::span<std::byte> prepare(std::size_t n) final;
  void commit(std::size_t n) final;
  using sdk::Output::write;
  void write(std::span<const std::byte> bytes) final;
  [[nodiscard]] std::size_t size() const noexcept final { return written_ + held_; }

  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  // Writes what is left. Throws sdk::JobError, as prepare does, when it can't.
  virtual void finish() { empty_buffer(); }
  // Once finished: zeroes what is left of a secret.
  void wipe() noexcept;

 protected:
  // `bytes_max`: what the job may produce. The buffer is emptied when `hold_bytes` are in it.
  DirectOutput(std::string_view part_name, std::uint64_t bytes_max, std::size_t hold_bytes);

  // Writes all of it, after the `written()` bytes before it.
  virtual void write_out(std::span<const std::byte> bytes) = 0;
  void empty_buffer();
  [[nodiscard]] std::uint64_t written() const noexcept { return written_; }

 private:
  void check_room(std::size_t n) const;
  void pass_on(std::span<const std::byte> bytes);

  std::string name_;
  std::uint64_t bytes_max_;
  std::size_t hold_bytes_;
  std::uint64_t written_ = 0;
  std::vector<std::byte> buffer_;
  std::size_t held_ = 0;  // in the buffer, committed
  std::size_t prepared_ = 0;
};

}  // namespace quern::worker
