// A server that a test plays by hand: it accepts, reads the client's frames and sends what it likes.
// Everything blocks, with a bound, on the test's own thread.
#pragma once

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "client/client.h"
#include "ipc/fd_passing.h"

namespace quern::client::test {

using namespace std::chrono_literals;

struct ReceivedFrame {
  wire::FrameHeader header{};
  std::vector<std::byte> body{};
  std::vector<unique_fd> fds{};
};

// One accepted connection.
class Peer {
 public:
  explicit Peer(unique_fd socket) : socket_(std::move(socket)) {
    const timeval patience{.tv_sec = 20, .tv_usec = 0};
    ::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  }

  void send(const wire::Buffer& bytes, std::span<const int> fds = {}) {
    ipc::ByteSpan rest(bytes);
    bool first = true;
    while (!rest.empty()) {
      const auto sent = ipc::send_with_fds(socket_.get(), rest, first ? fds : std::span<const int>());
      if (!sent || sent->status != ipc::IoStatus::kDone) return;
      rest = rest.subspan(sent->bytes);
      first = false;
    }
  }
  void close() { socket_.reset(); }

  // Nothing at the end of the stream.
  std::optional<ReceivedFrame> receive() {
    while (bytes_.size() < wire::kHeaderBytes) {
      if (!fill()) return std::nullopt;
    }
    ReceivedFrame frame{.header = wire::decode_header(bytes_)};
    const std::size_t whole = wire::kHeaderBytes + frame.header.body_bytes;
    while (bytes_.size() < whole) {
      if (!fill()) return std::nullopt;
    }
    frame.body.assign(bytes_.begin() + wire::kHeaderBytes, bytes_.begin() + static_cast<std::ptrdiff_t>(whole));
    bytes_.erase(bytes_.begin(), bytes_.begin() + static_cast<std::ptrdiff_t>(whole));
    for (std::uint16_t i = 0; i < frame.header.fd_count && !fds_.empty(); ++i) {
      frame.fds.push_back(std::move(fds_.front()));
      fds_.erase(fds_.begin());
    }
    return frame;
  }
  // The next frame, which must be of this type; its request id.
  std::uint64_t expect(wire::FrameType type) {
    const auto frame = receive();
    if (!frame) {
      ADD_FAILURE() << "the connection ended; expected a frame of type " << static_cast<int>(type);
      return 0;
    }
    EXPECT_EQ(frame->header.type, type);
    return frame->header.request_id;
  }
  // Whether the client has sent bytes that receive() has not seen.
  bool has_more(std::chrono::milliseconds within) {
    const timeval limit{.tv_sec = 0, .tv_usec = static_cast<suseconds_t>(within.count() * 1000)};
    ::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    const bool more = !bytes_.empty() || fill();
    const timeval patience{.tv_sec = 20, .tv_usec = 0};
    ::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    return more;
  }

  void greet(wire::Welcome welcome = {.frame_bytes_max = 16U << 20, .payload_bytes_max = 1U << 30, .jobs_max = 4096}) {
    expect(wire::FrameType::kHello);
    wire::Buffer out;
    wire::encode_welcome(out, welcome);
    send(out);
  }
  void send_result(std::uint64_t id, std::string_view text) {
    const std::vector<wire::Part> parts{{.bytes = text.size(), .data = ipc::as_bytes(text)}};
    send_result(id, parts);
  }
  void send_result(std::uint64_t id, std::span<const wire::Part> parts, std::span<const int> fds = {}) {
    wire::Buffer out;
    wire::FrameBuilder frame(out, wire::FrameType::kResult, id, static_cast<std::uint16_t>(fds.size()));
    wire::encode_result_head(frame.body(), {.job_id = id});
    wire::encode_parts(frame.body(), parts);
    frame.finish();
    send(out, fds);
  }
  void send_error(wire::FrameType type, std::uint64_t id, const Error& error) {
    wire::Buffer out;
    wire::FrameBuilder frame(out, type, id);
    wire::encode_error(frame.body(), error);
    frame.finish();
    send(out);
  }

 private:
  bool fill() {
    std::byte chunk[65536];
    const auto received = ipc::receive_with_fds(socket_.get(), chunk, fds_);
    if (!received || received->status != ipc::IoStatus::kDone) return false;
    bytes_.insert(bytes_.end(), chunk, chunk + received->bytes);
    return true;
  }

  unique_fd socket_;
  std::vector<std::byte> bytes_;
  std::vector<unique_fd> fds_;
};

class FakeServer {
 public:
  explicit FakeServer(int backlog = 64) : backlog_(backlog) {
    std::string pattern = ::testing::TempDir() + "quern-client.XXXXXX";
    if (::mkdtemp(pattern.data()) == nullptr) std::abort();
    directory_ = pattern;
  }
  ~FakeServer() { std::filesystem::remove_all(directory_); }
  FakeServer(const FakeServer&) = delete;
  FakeServer& operator=(const FakeServer&) = delete;

  void listen() {
    socket_.reset(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const sockaddr_un bound = address();
    ::unlink(path().c_str());
    ASSERT_EQ(::bind(socket_.get(), reinterpret_cast<const sockaddr*>(&bound), sizeof bound), 0);
    ASSERT_EQ(::listen(socket_.get(), backlog_), 0);
    const timeval patience{.tv_sec = 20, .tv_usec = 0};
    ::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  }
  void stop_listening() { socket_.reset(); }
  Peer accept() {
    unique_fd accepted(::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    EXPECT_TRUE(accepted) << "no client came";
    return Peer(std::move(accepted));
  }
  [[nodiscard]] std::string path() const { return directory_ + "/quern.sock"; }
  [[nodiscard]] sockaddr_un address() const {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path().copy(address.sun_path, sizeof address.sun_path - 1);
    return address;
  }

 private:
  int backlog_;
  std::string directory_;
  unique_fd socket_;
};

inline Job job(std::string_view text = "") {
  Job made{.kind = "debug.echo"};
  if (!text.empty()) made.parts = {Part::copy(text)};
  return made;
}

// The other side of a client whose handshake is over: what it is asked from now on, it sends at once. Before
// that a request waits for the handshake, and is never sent when its time is over first.
inline Peer connected(Client& client, FakeServer& server) {
  auto pending = client.submit(job());
  Peer peer = server.accept();
  peer.greet();
  peer.send_result(peer.expect(wire::FrameType::kSubmit), "");
  EXPECT_TRUE(pending.get());
  return peer;
}

}  // namespace quern::client::test
