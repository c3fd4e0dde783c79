// Buffer: shared memory of one's own that is filled in place and then handed to a job whole.
//
//     auto buffer = Buffer::allocate(frame_bytes);
//     render(buffer->bytes());
//     client.run({.kind = "video.encode", .parts = {Part::transfer(std::move(*buffer))}});
//
//     allocate() --> filling --Part::transfer--> spent
//
// Handing over seals the memory: nobody can change it any more, and its descriptor travels to the worker
// without a byte being copied. As with a transferred ArrayBuffer, the buffer is spent then: bytes() of a
// spent one throws, and a pointer into it that was kept is a wild one.
//
// Every page is allocated by allocate(), so that a full machine is its error and no SIGBUS later. One thread
// at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "common/error.h"
#include "common/unique_fd.h"
#include "ipc/memfd.h"

namespace quern::client {

class Buffer {
 public:
  // `bytes` zero bytes. kOutOfMemory when there is not as much.
  [[nodiscard]] static Result<Buffer> allocate(std::uint64_t bytes);

  Buffer(Buffer&& other) noexcept;
  Buffer& operator=(Buffer&& other) noexcept;
  ~Buffer() = default;

  // Throws std::logic_error when it was handed over.
  [[nodiscard]] std::span<std::byte> bytes() const;
  [[nodiscard]] bool spent() const noexcept { return !memfd_.valid(); }

  // Seals the memory and gives it up; Part::transfer does this. The buffer is spent, whatever comes of it.
  [[nodiscard]] Result<unique_fd> hand_over() &&;

 private:
  Buffer(unique_fd memfd, ipc::Mapping mapping) noexcept : memfd_(std::move(memfd)), mapping_(std::move(mapping)) {}

  unique_fd memfd_;
  ipc::Mapping mapping_;
};

}  // namespace quern::client
