#include "worker/file_output.h"

#include <errno.h>
#include <fmt/format.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

namespace quern::worker {
namespace {

// Written at once: the largest that stays in a core's second-level cache.
constexpr std::size_t kBufferBytes = 256U << 10;

[[noreturn]] void cannot_write(int error) {
  const bool full = error == ENOSPC || error == EDQUOT || error == EFBIG;
  throw sdk::JobError(full ? sdk::JobErrorCode::kTooLarge : sdk::JobErrorCode::kInvalidArgument,
                      fmt::format("can't write the output file: {}", ::strerrordesc_np(error)), "output_file");
}

}  // namespace

FileOutput::FileOutput(std::string_view part_name, int file, std::uint64_t bytes_max)
    : DirectOutput(part_name, bytes_max, kBufferBytes), file_(file) {
  struct stat info {};
  if (::fstat(file_, &info) != 0) cannot_write(errno);
  if (!S_ISREG(info.st_mode)) {
    throw sdk::JobError(sdk::JobErrorCode::kInvalidArgument,
                        "the output file must be a regular file; take the result and write it elsewhere yourself",
                        "output_file");
  }
}

void FileOutput::write_out(std::span<const std::byte> bytes) {
  auto at = static_cast<off_t>(written());
  while (!bytes.empty()) {
    const ssize_t n = ::pwrite(file_, bytes.data(), bytes.size(), at);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) cannot_write(n < 0 ? errno : ENOSPC);
    at += n;
    bytes = bytes.subspan(static_cast<std::size_t>(n));
  }
}

void FileOutput::finish() {
  DirectOutput::finish();
  if (::ftruncate(file_, static_cast<off_t>(written())) != 0) cannot_write(errno);
}

}  // namespace quern::worker
