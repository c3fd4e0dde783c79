// FileOutput: the part of a result that goes into a file of the client's.
//
// Written from the file's beginning, and cut to the result's length at the end. Of a job that fails, or whose
// worker dies, the file holds some of it, or of what was there before.
//
// With pwrite(2), not a mapping: a full or shrinking file is an error then, and no SIGBUS.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "worker/direct_output.h"

namespace quern::worker {

class FileOutput final : public DirectOutput {
 public:
  // `file` is borrowed, and open for writing. Throws sdk::JobError(kInvalidArgument, "output_file") when it is no
  // regular file.
  FileOutput(std::string_view part_name, int file, std::uint64_t bytes_max);

  // Writes what is left and cuts the file.
  void finish() override;

 private:
  void write_out(std::span<const std::byte> bytes) override;

  int file_;
};

}  // namespace quern::worker
