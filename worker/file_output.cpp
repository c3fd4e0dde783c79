#include "worker/file_output.h"

#include <errno.h>
#include <fmt/format.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <stdexcept>

#include "common/sizes.h"

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
    : name_(part_name), file_(file), bytes_max_(bytes_max), buffer_(kBufferBytes) {
  struct stat info {};
  if (::fstat(file_, &info) != 0) cannot_write(errno);
  if (!S_ISREG(info.st_mode)) {
    throw sdk::JobError(sdk::JobErrorCode::kInvalidArgument,
                        "the output file must be a regular file; take the result and write it elsewhere yourself",
                        "output_file");
  }
}

void FileOutput::check_room(std::size_t n) const {
  if (n <= bytes_max_ - size()) return;
  throw sdk::JobError(
      sdk::JobErrorCode::kTooLarge,
      fmt::format("the result exceeds what is left of the pool's result_bytes_max ({})", format_size(bytes_max_)));
}

std::span<std::byte> FileOutput::prepare(std::size_t n) {
  check_room(n);
  if (n > buffer_.size() - held_) flush();
  if (n > buffer_.size()) buffer_.resize(n);
  prepared_ = n;
  return std::span(buffer_).subspan(held_, n);
}

void FileOutput::commit(std::size_t n) {
  if (n > prepared_) throw std::logic_error("a module committed more than it prepared");
  prepared_ = 0;
  held_ += n;
}

// Large ones take the shortest way.
void FileOutput::write(std::span<const std::byte> bytes) {
  if (bytes.size() < kBufferBytes) return sdk::Output::write(bytes);
  check_room(bytes.size());
  flush();
  write_out(bytes);
}

void FileOutput::flush() {
  write_out({buffer_.data(), held_});
  held_ = 0;
}

void FileOutput::write_out(std::span<const std::byte> rest) {
  while (!rest.empty()) {
    const ssize_t n = ::pwrite(file_, rest.data(), rest.size(), static_cast<off_t>(written_));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) cannot_write(n < 0 ? errno : ENOSPC);
    written_ += static_cast<std::uint64_t>(n);
    rest = rest.subspan(static_cast<std::size_t>(n));
  }
}

void FileOutput::finish() {
  flush();
  if (::ftruncate(file_, static_cast<off_t>(written_)) != 0) cannot_write(errno);
}

}  // namespace quern::worker
