#include "worker/direct_output.h"

#include <fmt/format.h>
#include <string.h>

#include <stdexcept>

#include "common/sizes.h"

namespace quern::worker {

DirectOutput::DirectOutput(std::string_view part_name, std::uint64_t bytes_max, std::size_t hold_bytes)
    : name_(part_name), bytes_max_(bytes_max), hold_bytes_(hold_bytes), buffer_(hold_bytes) {}

void DirectOutput::check_room(std::size_t n) const {
  if (n <= bytes_max_ - size()) return;
  throw sdk::JobError(
      sdk::JobErrorCode::kTooLarge,
      fmt::format("the result exceeds what is left of the pool's result_bytes_max ({})", format_size(bytes_max_)));
}

std::span<std::byte> DirectOutput::prepare(std::size_t n) {
  check_room(n);
  if (n > buffer_.size() - held_) empty_buffer();
  if (n > buffer_.size()) buffer_.resize(n);
  prepared_ = n;
  return std::span(buffer_).subspan(held_, n);
}

void DirectOutput::commit(std::size_t n) {
  if (n > prepared_) throw std::logic_error("a module committed more than it prepared");
  prepared_ = 0;
  held_ += n;
  if (held_ >= hold_bytes_) empty_buffer();
}

// Large ones take the shortest way.
void DirectOutput::write(std::span<const std::byte> bytes) {
  if (bytes.size() < hold_bytes_) return sdk::Output::write(bytes);
  check_room(bytes.size());
  empty_buffer();
  pass_on(bytes);
}

void DirectOutput::empty_buffer() {
  pass_on({buffer_.data(), held_});
  held_ = 0;
}

void DirectOutput::pass_on(std::span<const std::byte> bytes) {
  write_out(bytes);
  written_ += bytes.size();
}

void DirectOutput::wipe() noexcept { ::explicit_bzero(buffer_.data(), buffer_.size()); }

}  // namespace quern::worker
