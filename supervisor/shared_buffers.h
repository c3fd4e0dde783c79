// SharedBuffers: memory that clients and their running jobs read and write at the same time.
//
// A client makes the memfd, sealed in size, and leaves a descriptor with us; others attach it by name, if its
// access lets them. We never map it: no byte of it can hurt the supervisor, and its memory is its creator's.
//
//     created --(clients attach, jobs are given it)--> owned by n connections and m jobs --(n = m = 0)--> freed
//
// Each connection that created or attached it, and each job in flight that it was submitted with, holds a
// BufferRef; the last one to go frees our descriptor, however it went. A client's own mapping keeps the memory
// alive for itself, a worker's ends with its job.
//
// Who may use it: a job gets a buffer only from a connection that holds it. A worker gets the descriptor with
// the job and drops it after it; one that was taken over by its input could keep it until its death.
//
// One thread. Every BufferRef must be gone before the SharedBuffers are.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/error.h"
#include "common/unique_fd.h"
#include "ipc/wire.h"
#include "supervisor/client_account.h"
#include "supervisor/fd_closer.h"

namespace quern::supervisor {

class SharedBuffers;

struct SharedBuffer {
  std::uint64_t id = 0;
  std::string name{};  // empty: only its creator has it
  std::uint64_t bytes = 0;
  uid_t uid = 0;  // its creator's
  wire::BufferAccess access = wire::BufferAccess::kUser;
  gid_t gid = 0;  // kGroup's
  std::int64_t created_ns = 0;
  unique_fd memfd{};
  Charge charge{};  // its creator's, who may be gone
  std::uint32_t clients = 0;
  std::uint32_t jobs = 0;
};

// One owner's hold on a buffer. Movable; lets go when destroyed.
class BufferRef {
 public:
  enum class Owner : std::uint8_t { kClient, kJob };

  BufferRef(BufferRef&& other) noexcept
      : buffers_(std::exchange(other.buffers_, nullptr)), buffer_(other.buffer_), owner_(other.owner_) {}
  BufferRef& operator=(BufferRef&& other) noexcept;
  ~BufferRef() { let_go(); }

  [[nodiscard]] const SharedBuffer& operator*() const noexcept { return *buffer_; }
  [[nodiscard]] const SharedBuffer* operator->() const noexcept { return buffer_; }
  [[nodiscard]] BufferRef for_job() const noexcept { return {*buffers_, *buffer_, Owner::kJob}; }

 private:
  friend SharedBuffers;
  BufferRef(SharedBuffers& buffers, SharedBuffer& buffer, Owner owner) noexcept;
  void let_go() noexcept;

  SharedBuffers* buffers_;
  SharedBuffer* buffer_;
  Owner owner_;
};

// Who asks, by the kernel's word.
struct BufferPeer {
  uid_t uid = 0;
  std::span<const gid_t> groups{};
};

class SharedBuffers {
 public:
  // `bytes_max`: of all buffers together; `uid_bytes_max`: of those that one user has created.
  // `closer` gives the memory back.
  SharedBuffers(FdCloser& closer, std::uint64_t bytes_max, std::uint64_t uid_bytes_max);

  // Takes a client's memfd. kInvalidArgument: it is none, is not sealed in size, or is sealed against
  // writing; the name is taken or malformed. kTooLarge: a limit is exceeded. `charge`: of the descriptor.
  [[nodiscard]] Result<BufferRef> create(const wire::BufferRequest& request, unique_fd memfd, uid_t uid,
                                         std::int64_t now_ns, Charge charge = {});
  // kNotFound, also when the peer may not know that it is there.
  [[nodiscard]] Result<BufferRef> attach(std::string_view name, const BufferPeer& peer);

  [[nodiscard]] std::uint64_t bytes() const noexcept { return bytes_; }
  // In order of creation.
  template <class Visit>
  void for_each(Visit visit) const {
    for (const auto& [id, buffer] : all_) visit(buffer);
  }

 private:
  friend BufferRef;
  void free(SharedBuffer& buffer) noexcept;
  [[nodiscard]] Result<void> check_name(std::string_view name) const;
  [[nodiscard]] Result<void> check_size(std::uint64_t bytes, uid_t uid) const;

  FdCloser& closer_;
  std::uint64_t bytes_max_;
  std::uint64_t uid_bytes_max_;
  std::uint64_t bytes_ = 0;
  std::uint64_t next_id_;                      // begins anywhere, so that no id of an earlier server's is one of ours
  std::map<std::uint64_t, SharedBuffer> all_;  // by id
  std::map<std::string, std::uint64_t, std::less<>> names_;
};

}  // namespace quern::supervisor
