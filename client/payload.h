// A job's input parts and its result's: bytes, here or in a sealed memfd.
//
// Small parts travel inside the frame. Large ones are handed over as sealed memfds: nobody on the way copies
// them, and nobody can change them any more. What has to be copied to get there, once, and by the library:
//
//     from                                  copied
//     transfer(Buffer)                      nothing
//     sealed(memfd), a ResultPart's         nothing
//     file(memfd, not sealed)               nothing: it is sealed now; all, when someone has it mapped for writing
//     file(a regular file)                  all: files can't be sealed
//     copy(bytes)                           all
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "client/buffer.h"
#include "common/error.h"
#include "common/unique_fd.h"
#include "ipc/memfd.h"

namespace quern::client {

// Parts above this go by descriptor. A job body that fits the 32 KiB of the server's arena is cheaper in the frame than
// in a memfd, there and back 0.7 x; one that does not is dearer, 1.15 x at 32 KiB and 1.8 x at 64 KiB (bench_buffers
// prints both). The KiB between is for parameters and the table of parts.
inline constexpr std::size_t kInlineBytesMax = 31U << 10;

class Part {
 public:
  // Copies the bytes now.
  [[nodiscard]] static Part copy(std::span<const std::byte> bytes, std::string name = {});
  [[nodiscard]] static Part copy(std::string_view text, std::string name = {}) {
    return copy(std::as_bytes(std::span(text.data(), text.size())), std::move(name));
  }
  // Hands the buffer's memory over; the buffer is spent.
  [[nodiscard]] static Part transfer(Buffer&& buffer, std::string name = {});
  // Takes a memfd sealed with F_SEAL_SHRINK and F_SEAL_WRITE (ipc/memfd.h makes them).
  [[nodiscard]] static Part sealed(unique_fd memfd, std::string name = {});
  // Takes any memfd, or a regular file from its beginning to its end. Seals what can be sealed: the memfd then
  // is for nobody to write any more.
  [[nodiscard]] static Part file(unique_fd file, std::string name = {});

  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  [[nodiscard]] std::span<const std::byte> bytes() const noexcept { return bytes_; }
  [[nodiscard]] const unique_fd& fd() const noexcept { return *fd_; }
  [[nodiscard]] bool in_fd() const noexcept { return fd_ != nullptr; }
  [[nodiscard]] const std::shared_ptr<unique_fd>& shared_fd() const noexcept { return fd_; }
  // How many bytes it took copying to make this part, at most once each.
  [[nodiscard]] std::uint64_t copied_bytes() const noexcept { return copied_bytes_; }
  // Why there is no part, if there is none; submitting it is answered with this.
  [[nodiscard]] const Error* error() const noexcept { return error_.get(); }

 private:
  [[nodiscard]] static Part of(Result<unique_fd> memfd, std::string name, std::uint64_t copied_bytes);

  std::string name_;
  std::uint64_t copied_bytes_ = 0;
  std::vector<std::byte> bytes_;
  std::shared_ptr<unique_fd> fd_;  // a Part can be copied, like the vector it may be
  std::shared_ptr<Error> error_;
};

// Reads `file` from where it stands to its end (files, pipes, terminals) into a new sealed memfd.
// kInvalidArgument, field "parts", when it can't be read. `begun`: what was read of it before.
[[nodiscard]] Result<unique_fd> read_to_memfd(int file, ipc::ByteSpan begun = {});

// One part of a result: valid as long as it lives, movable.
class ResultPart {
 public:
  ResultPart(std::string name, std::vector<std::byte> bytes) : name_(std::move(name)), inline_(std::move(bytes)) {}
  ResultPart(std::string name, unique_fd memfd, ipc::Mapping mapping)
      : name_(std::move(name)), fd_(std::move(memfd)), mapping_(std::move(mapping)) {}

  // One that went into the job's output_file; `bytes` long.
  [[nodiscard]] static ResultPart elsewhere(std::string name, std::uint64_t bytes) {
    ResultPart part(std::move(name), {});
    part.elsewhere_bytes_ = bytes;
    return part;
  }

  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  // How many bytes were written elsewhere, if they were.
  [[nodiscard]] const std::optional<std::uint64_t>& elsewhere_bytes() const noexcept { return elsewhere_bytes_; }
  [[nodiscard]] std::span<const std::byte> bytes() const noexcept {
    return fd_ ? std::span<const std::byte>(mapping_.bytes()) : std::span<const std::byte>(inline_);
  }
  [[nodiscard]] std::string_view text() const noexcept { return ipc::as_text(bytes()); }
  // The sealed memfd that holds a large part; not valid for a small one.
  [[nodiscard]] const unique_fd& fd() const noexcept { return fd_; }
  // Makes it the next job's input, without a copy if it is a large one.
  [[nodiscard]] Part hand_on() &&;

 private:
  std::string name_;
  std::vector<std::byte> inline_;
  std::optional<std::uint64_t> elsewhere_bytes_;
  unique_fd fd_;
  ipc::Mapping mapping_;
};

}  // namespace quern::client
