// Control messages, received from a real SOCK_SEQPACKET pair: packets of any bytes and length with any
// number of descriptors, more than fit included.
//
// Oracle: a packet that is accepted arrives as it was sent, with every descriptor; no descriptor leaks,
// whatever becomes of its packet; a kind that decodes, encodes to something that decodes equal.
//
// Input: packets {u8 descriptors, u16 bytes_of_text, u8 padding in KiB, text}.
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <vector>

#include "ipc/control.h"
#include "tests/fuzz/input.h"
#include "tests/fuzz/open_fds.h"

namespace quern::fuzz {
namespace {

constexpr std::size_t kScmMaxFd = 253;  // the kernel's bound on one message
constexpr std::size_t kPacketsMax = 16;

// As a hostile peer sends: nothing that our own sender would refuse is refused here.
void send_raw(int socket, ipc::ByteSpan packet, std::size_t fd_count, int fd) {
  iovec iov{.iov_base = const_cast<std::byte*>(packet.data()), .iov_len = packet.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * kScmMaxFd)> control{};
  msghdr message{};
  message.msg_iov = &iov;
  message.msg_iovlen = 1;
  if (fd_count > 0) {
    const std::vector<int> fds(fd_count, fd);
    message.msg_control = control.data();
    message.msg_controllen = CMSG_SPACE(fds.size() * sizeof(int));
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
    std::memcpy(CMSG_DATA(header), fds.data(), fds.size() * sizeof(int));
  }
  check(::sendmsg(socket, &message, MSG_NOSIGNAL) == static_cast<ssize_t>(packet.size()), "a packet is sent");
}

void decode_as_kind(ipc::ByteSpan body) {
  const auto first = ipc::decode_kind(body);
  if (!first) return;
  check(!first->name.empty(), "a kind has a name");
  std::vector<std::byte> encoded;
  ipc::encode_kind(encoded, *first);
  const auto again = ipc::decode_kind(encoded);
  check(again && again->sensitive == first->sensitive && again->name == first->name &&
            again->description_json == first->description_json,
        "a kind survives encoding");
}

void receive(int socket, ipc::ByteSpan sent, std::size_t fd_count, ipc::ControlMessage& message) {
  const auto received = ipc::receive_control(socket, message);
  const bool fits = sent.size() <= sizeof(ipc::ControlHeader) + ipc::kControlBodyBytesMax &&
                    fd_count <= ipc::kMessageFdsMax && sent.size() >= sizeof(ipc::ControlHeader);
  const bool accepted = received && *received == ipc::IoStatus::kDone;
  check(accepted == fits, "what fits is accepted, and nothing else");
  if (!accepted) return;
  check(message.fds.size() == fd_count, "every descriptor arrives");
  for (const unique_fd& fd : message.fds) {
    check((::fcntl(fd.get(), F_GETFD) & FD_CLOEXEC) != 0, "a received descriptor is close-on-exec");
  }
  check(std::memcmp(&message.header, sent.data(), sizeof message.header) == 0, "the header arrives as it was sent");
  check(ipc::as_text(message.body) == ipc::as_text(sent.subspan(sizeof message.header)), "and so does the body");
  decode_as_kind(message.body);
}

void exchange(Input& input) {
  auto pair = ipc::make_control_pair();
  check(pair.has_value(), "a control pair");
  check(::fcntl(pair->supervisor.get(), F_SETFL, O_NONBLOCK) == 0, "a non-blocking end");
  const unique_fd passed(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  ipc::ControlMessage message;  // reused, like a worker's
  for (std::size_t i = 0; i < kPacketsMax && !input.empty(); ++i) {
    const std::size_t fd_count = std::min<std::size_t>(input.byte(), kScmMaxFd);
    const auto text_bytes = input.number<std::uint16_t>();
    const std::size_t padding_bytes = std::size_t{input.byte()} % 66 * 1024;
    const ipc::ByteSpan text = input.bytes(text_bytes);
    std::vector<std::byte> packet(text.begin(), text.end());
    packet.resize(text.size() + padding_bytes);
    send_raw(pair->child.get(), packet, fd_count, passed.get());
    receive(pair->supervisor.get(), packet, fd_count, message);
  }
}

}  // namespace
}  // namespace quern::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace quern;
  static fuzz::OpenFds open_fds;
  const std::size_t before = open_fds.count();
  fuzz::Input input(data, size);
  fuzz::exchange(input);
  fuzz::decode_as_kind(std::as_bytes(std::span(data, size)));
  fuzz::check(open_fds.count() == before, "no descriptor leaks");
  return 0;
}
