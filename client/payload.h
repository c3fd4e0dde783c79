// A job's input parts and its result's: bytes, here or in a sealed memfd.
//
// Small parts travel inside the frame. Large ones are put into a memfd by the library, sealed, and
// handed over as a descriptor: nobody on the way copies them, and nobody can change them any more.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/error.h"
#include "common/unique_fd.h"
#include "ipc/memfd.h"

namespace quern::client {

// Parts above this go by descriptor: below it, copying twice is cheaper than a memfd's system calls.
inline constexpr std::size_t kInlineBytesMax = 64U << 10;

class Part {
 public:
  // Copies the bytes now.
  [[nodiscard]] static Part copy(std::span<const std::byte> bytes, std::string name = {});
  [[nodiscard]] static Part copy(std::string_view text, std::string name = {}) {
    return copy(std::as_bytes(std::span(text.data(), text.size())), std::move(name));
  }
  // Takes a memfd sealed with F_SEAL_SHRINK and F_SEAL_WRITE (ipc/memfd.h makes them).
  [[nodiscard]] static Part sealed(unique_fd memfd, std::string name = {});

  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  [[nodiscard]] std::span<const std::byte> bytes() const noexcept { return bytes_; }
  [[nodiscard]] const unique_fd& fd() const noexcept { return *fd_; }
  [[nodiscard]] bool in_fd() const noexcept { return fd_ != nullptr; }
  [[nodiscard]] const std::shared_ptr<unique_fd>& shared_fd() const noexcept { return fd_; }
  // Why copy() could not make a memfd, if it could not.
  [[nodiscard]] const Error* error() const noexcept { return error_.get(); }

 private:
  std::string name_;
  std::vector<std::byte> bytes_;
  std::shared_ptr<unique_fd> fd_;  // a Part can be copied, like the vector it may be
  std::shared_ptr<Error> error_;
};

// One part of a result: valid as long as it lives, movable.
class ResultPart {
 public:
  ResultPart(std::string name, std::vector<std::byte> bytes) : name_(std::move(name)), inline_(std::move(bytes)) {}
  ResultPart(std::string name, unique_fd memfd, ipc::Mapping mapping)
      : name_(std::move(name)), fd_(std::move(memfd)), mapping_(std::move(mapping)) {}

  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  [[nodiscard]] std::span<const std::byte> bytes() const noexcept {
    return fd_ ? std::span<const std::byte>(mapping_.bytes()) : std::span<const std::byte>(inline_);
  }
  [[nodiscard]] std::string_view text() const noexcept { return ipc::as_text(bytes()); }
  // The sealed memfd that holds a large part, to hand on without a copy; not valid for a small one.
  [[nodiscard]] const unique_fd& fd() const noexcept { return fd_; }

 private:
  std::string name_;
  std::vector<std::byte> inline_;
  unique_fd fd_;
  ipc::Mapping mapping_;
};

}  // namespace quern::client
