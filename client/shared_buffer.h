// SharedBuffer: memory that this process, others, and running jobs read and write at the same time.
//
//     auto counters = client.create_shared({.bytes = 4096});
//     client.run({.kind = "shared.add", .options = {.shared_buffers = {counters->id()}}});
//     counters->as<std::uint64_t>()[0].load();
//
// The words, and waiting for one to change, are common/shared_view.h's: AtomicView.
//
// The buffer lives as long as anybody owns it: a SharedBuffer on any connection, or a job in flight that was
// given it. It is freed with the last, however that one ended. This object's own memory stays valid as long as
// the object, also when the connection broke; jobs then can't be given it any more (kNotFound), for the server has
// let go of it: create or attach it again.
//
// A job that was given a shared buffer is tried once, unless `attempts` says otherwise: what a dead worker did to
// the buffer stays done.
//
// Movable. Safe to use from any thread, as AtomicView is; the client must outlive it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "common/shared_view.h"
#include "common/unique_fd.h"
#include "ipc/memfd.h"
#include "ipc/wire.h"

namespace quern::client {

class Client;

struct SharedBufferOptions {
  std::uint64_t bytes = 0;  // at least 1; all zero at first
  std::string name{};       // for attach_shared(); at most 63 of A-Z a-z 0-9 . _ -; empty: nobody else can attach it
  wire::BufferAccess access = wire::BufferAccess::kUser;  // who may attach it
  std::uint32_t gid = 0;                                  // kGroup's
};

class SharedBuffer {
 public:
  SharedBuffer(SharedBuffer&& other) noexcept
      : client_(std::exchange(other.client_, nullptr)),
        id_(other.id_),
        memfd_(std::move(other.memfd_)),
        mapping_(std::exchange(other.mapping_, {})) {}
  SharedBuffer& operator=(SharedBuffer&& other) noexcept;
  ~SharedBuffer() { release(); }

  // Its number on the server, for JobOptions::shared_buffers.
  [[nodiscard]] std::uint64_t id() const noexcept { return id_; }
  [[nodiscard]] std::size_t size() const noexcept { return mapping_.size(); }
  [[nodiscard]] SharedView view() const noexcept { return SharedView(mapping_.bytes()); }
  template <SharedWord Word>
  [[nodiscard]] AtomicView<Word> as(std::size_t offset = 0) const {
    return view().as<Word>(offset);
  }

 private:
  friend Client;
  SharedBuffer(Client& client, std::uint64_t id, unique_fd memfd, ipc::Mapping mapping) noexcept
      : client_(&client), id_(id), memfd_(std::move(memfd)), mapping_(std::move(mapping)) {}
  void release() noexcept;

  Client* client_;
  std::uint64_t id_;
  unique_fd memfd_;
  ipc::Mapping mapping_;
};

}  // namespace quern::client
