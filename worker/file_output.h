// FileOutput: the part of a result that goes into a file of the client's.
//
// Written from the file's beginning as the module produces it, through a buffer, so that a result of any size
// needs no memory of its size; cut to the result's length at the end. Of a job that fails, or whose worker dies,
// the file holds some of it, or of what was there before.
//
// With pwrite(2), not a mapping: a full or shrinking file is an error then, and no SIGBUS.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "worker/sdk/job.h"

namespace quern::worker {

class FileOutput final : public sdk::Output {
 public:
  // `file` is borrowed, and open for writing. Throws sdk::JobError(kInvalidArgument, "output_file") when it is no
  // regular file. `bytes_max`: what the job may produce.
  FileOutput(std::string_view part_name, int file, std::uint64_t bytes_max);

  [[nodiscard]] std::span<std::byte> prepare(std::size_t n) override;
  void commit(std::size_t n) override;
  using sdk::Output::write;
  void write(std::span<const std::byte> bytes) override;
  [[nodiscard]] std::size_t size() const noexcept override { return written_ + held_; }

  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  // Writes what is left and cuts the file. Throws sdk::JobError, as prepare does, when the file takes no more.
  void finish();

 private:
  void check_room(std::size_t n) const;
  void flush();
  void write_out(std::span<const std::byte> rest);

  std::string name_;
  int file_;
  std::uint64_t bytes_max_;
  std::uint64_t written_ = 0;
  std::vector<std::byte> buffer_;
  std::size_t held_ = 0;  // in the buffer, committed
  std::size_t prepared_ = 0;
};

}  // namespace quern::worker
