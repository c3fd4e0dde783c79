// The JSON documents that operators ask for: status, jobs, quarantine. docs/protocol.md describes them.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "supervisor/client_account.h"
#include "supervisor/memory_ceiling.h"
#include "supervisor/pool.h"
#include "supervisor/quarantine.h"
#include "supervisor/shared_buffers.h"

namespace quern::supervisor {

struct ClientFacts {
  std::uint64_t id = 0;
  pid_t pid = 0;
  uid_t uid = 0;
  std::string_view name{};
  bool is_operator = false;
  std::size_t jobs = 0;
  std::size_t buffers = 0;
  Holding held{};
  std::int64_t connected_ns = 0;
};

struct UserFacts {
  uid_t uid = 0;
  std::uint32_t connections = 0;  // 0: jobs or buffers have outlived them
  Holding held{};
};

struct ServerFacts {
  std::string_view state;  // "running", "stopping"
  std::int64_t started_ns = 0;
  std::span<const ClientFacts> clients{};
  std::span<const UserFacts> users{};
  std::uint64_t descriptors = 0;  // of all clients
  std::uint64_t descriptors_max = 0;
  MemoryCeiling ceiling{};
};

[[nodiscard]] std::string status_document(const ServerFacts& server, std::span<const std::unique_ptr<Pool>> pools);
// Of queued and running jobs, oldest first; at most kJobsListed of them.
inline constexpr std::size_t kJobsListed = 10'000;
[[nodiscard]] std::string jobs_document(std::span<const std::unique_ptr<Pool>> pools);
[[nodiscard]] std::string buffers_document(const SharedBuffers& buffers);
[[nodiscard]] std::string quarantine_document(const Quarantine& quarantine);
[[nodiscard]] std::string quarantine_entry_document(const Quarantine::Entry& entry);

// One pool's word for its state: running, paused, draining, degraded, starting, stopping.
[[nodiscard]] std::string_view state_word(const Pool& pool) noexcept;

}  // namespace quern::supervisor
