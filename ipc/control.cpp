#include "ipc/control.h"

#include <errno.h>
#include <sys/socket.h>

#include <array>
#include <cstring>

namespace quern::ipc {
namespace {

// A kind's flags.
constexpr std::uint8_t kSensitive = 1;
constexpr std::uint8_t kCanary = 2;

}  // namespace

void encode_kind(std::vector<std::byte>& out, const KindAnnouncement& kind) {
  ByteWriter writer(out);
  writer.number(static_cast<std::uint8_t>((kind.sensitive ? kSensitive : 0) | (kind.canary ? kCanary : 0)));
  writer.number(static_cast<std::uint8_t>(kind.name.size()));
  writer.text(kind.name);
  writer.text(kind.description_json);
}

Result<KindAnnouncement> decode_kind(ByteSpan body) {
  ByteReader in(body);
  const auto flags = in.number<std::uint8_t>();
  const auto name_bytes = in.number<std::uint8_t>();
  KindAnnouncement kind{
      .sensitive = (flags & kSensitive) != 0, .canary = (flags & kCanary) != 0, .name = in.text(name_bytes)};
  kind.description_json = as_text(in.rest());
  if (!in.ok() || kind.name.empty()) {
    return Error{.code = ErrorCode::kProtocolError, .message = "a template announced a malformed kind"};
  }
  return kind;
}

void encode_addresses(std::vector<std::byte>& out, std::span<const std::uint64_t> addresses) {
  ByteWriter writer(out);
  for (const std::uint64_t address : addresses) writer.number(address);
}

Result<std::vector<std::uint64_t>> decode_addresses(ByteSpan body) {
  if (body.size() % sizeof(std::uint64_t) != 0) {
    return Error{.code = ErrorCode::kProtocolError, .message = "a list of addresses is cut short"};
  }
  ByteReader in(body);
  std::vector<std::uint64_t> addresses(body.size() / sizeof(std::uint64_t));
  for (std::uint64_t& address : addresses) address = in.number<std::uint64_t>();
  return addresses;
}

Result<IoResult> send_control(int socket, const ControlHeader& header, ByteSpan body, std::span<const int> fds) {
  if (body.size() > kControlBodyBytesMax) {
    return Error{.code = ErrorCode::kTooLarge, .message = "a control message of more than 64 KiB"};
  }
  std::vector<std::byte> packet(sizeof header + body.size());
  std::memcpy(packet.data(), &header, sizeof header);
  if (!body.empty()) std::memcpy(packet.data() + sizeof header, body.data(), body.size());
  return send_with_fds(socket, packet, fds);
}

Result<IoStatus> receive_control(int socket, ControlMessage& message) {
  message.fds.clear();
  message.body.resize(sizeof(ControlHeader) + kControlBodyBytesMax);
  const auto received = receive_with_fds(socket, message.body, message.fds);
  if (!received) return received.error();
  if (received->status != IoStatus::kDone) return received->status;
  if (received->bytes < sizeof(ControlHeader)) {
    return Error{.code = ErrorCode::kProtocolError, .message = "a control message is cut short"};
  }
  std::memcpy(&message.header, message.body.data(), sizeof(ControlHeader));
  message.body.resize(received->bytes);
  message.body.erase(message.body.begin(), message.body.begin() + sizeof(ControlHeader));
  return IoStatus::kDone;
}

Result<ControlPair> make_control_pair() {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    return system_error("socketpair", "control", errno);
  }
  return ControlPair{unique_fd(ends[0]), unique_fd(ends[1])};
}

}  // namespace quern::ipc
