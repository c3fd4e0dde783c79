// Control messages: what goes over the SOCK_SEQPACKET socket pairs between the supervisor and its
// templates and workers, besides the channel. They carry what shared memory can't: descriptors, and
// the births of processes. No job waits for one except those with descriptors.
//
//     supervisor -> template   kSpawn{id: incarnation; fds: channel, eventfd, control socket}
//     template -> supervisor   kKind{id: index; name, flags, description} ..., then kReady{id: how many},
//                              or kLoadFailed{text} and exit 1;
//                              kSpawned{id: incarnation, value: pid; fd: pidfd} or
//                              kSpawnFailed{id: incarnation, value: errno}
//     supervisor -> template   kSymbolize{id; body: code addresses}: names for them, of a worker that it forked
//     template -> supervisor   kSymbols{id; text: a line each, in their order}
//     supervisor -> worker     kJobFds{id: position; fds}    before the descriptor is published
//     worker -> supervisor     kResultFds{id: position; fds} before the completion is published
//
// A message is one packet: a fixed header and at most kControlBodyBytesMax bytes. Because a packet
// arrives whole or not at all, a process that dies while it sends leaves no half message behind.
//
// What if the template dies here
//   before clone3                the socket closes with the request in it: the incarnation is given up.
//   between clone3 and kSpawned  the worker lives, as the supervisor's child, and the supervisor does not know its
//                                pid. No job was published to it, so the supervisor writes kRetire into that
//                                incarnation's channel and rings: the worker exits by itself and is reaped as a
//                                stranger (supervisor/process.h).
//   after kSpawned               the worker outlives its template.
//
// What if the worker misuses its end
//   it closes it, or leaves in it   the next job with descriptors can't be sent: the worker is ended, and the job
//   jobs it said were done          goes elsewhere.
//   it sends what nobody asked for  its socket holds a handful of packets, so that the descriptors in them don't use
//                                   up what the kernel lets all workers' user have on their way. They are never
//                                   read, or found by the next completion that has descriptors.
//
// The supervisor trusts a template (it runs no job and reads no client's byte), but checks lengths all
// the same. It trusts nothing from a worker: a bad message costs the worker its life.
#pragma once

#include <signal.h>

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "common/error.h"
#include "common/unique_fd.h"
#include "ipc/bytes.h"
#include "ipc/fd_passing.h"

namespace quern::ipc {

inline constexpr std::size_t kControlBodyBytesMax = 64U << 10;

enum class ControlType : std::uint32_t {
  kKind = 1,
  kReady = 2,
  kLoadFailed = 3,
  kSpawn = 4,
  kSpawned = 5,
  kSpawnFailed = 6,
  kJobFds = 7,
  kResultFds = 8,
  kSymbolize = 9,
  kSymbols = 10,
};

struct ControlHeader {
  ControlType type{};
  std::int32_t value = 0;
  std::uint64_t id = 0;
};
static_assert(sizeof(ControlHeader) == 16);

struct ControlMessage {
  ControlHeader header{};
  std::vector<std::byte> body{};
  std::vector<unique_fd> fds{};
};

// kKind's body: u8 flags (bit 0: sensitive, bit 1: canary), u8 name_bytes, name, then the kind's JSON description.
struct KindAnnouncement {
  bool sensitive = false;
  bool canary = false;  // the pool's health kind, which the template adds to those of its modules
  std::string_view name{};
  std::string_view description_json{};
};
void encode_kind(std::vector<std::byte>& out, const KindAnnouncement& kind);
[[nodiscard]] Result<KindAnnouncement> decode_kind(ByteSpan body);

// kSymbolize's body: u64 each.
void encode_addresses(std::vector<std::byte>& out, std::span<const std::uint64_t> addresses);
[[nodiscard]] Result<std::vector<std::uint64_t>> decode_addresses(ByteSpan body);

// The signal that asks a worker for the stack of its running job (worker/stack_probe.h). A worker that
// is not ready for it ignores it.
[[nodiscard]] inline int stack_signal() noexcept { return SIGRTMIN + 1; }

// Sends one packet. kWouldBlock when the socket is non-blocking and full; nothing was sent then.
[[nodiscard]] Result<IoResult> send_control(int socket, const ControlHeader& header, ByteSpan body = {},
                                            std::span<const int> fds = {});

// Receives one packet into `message` (its storage is reused). kClosed when the peer is gone.
[[nodiscard]] Result<IoStatus> receive_control(int socket, ControlMessage& message);

// A connected SOCK_SEQPACKET pair, close-on-exec, blocking.
struct ControlPair {
  unique_fd supervisor;
  unique_fd child;
};
[[nodiscard]] Result<ControlPair> make_control_pair();

}  // namespace quern::ipc
