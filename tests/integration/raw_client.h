// A connection to quernd that sends what it likes, for clients that no library would be.
#pragma once

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <chrono>
#include <span>
#include <string>
#include <string_view>

#include "ipc/fd_passing.h"
#include "ipc/wire.h"
#include "tests/integration/server.h"

namespace quern::test {

class RawClient {
 public:
  explicit RawClient(const Server& server) : socket_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    server.socket_path().copy(address.sun_path, sizeof address.sun_path - 1);
    if (::connect(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
      ADD_FAILURE() << "connect";
    const timeval patience{.tv_sec = 30, .tv_usec = 0};
    ::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  }
  // Whether the server took all of it.
  bool send(ipc::ByteSpan bytes, std::span<const int> fds = {}) {
    const auto sent = ipc::send_with_fds(socket_.get(), bytes, fds);
    return sent && sent->status == ipc::IoStatus::kDone && sent->bytes == bytes.size();
  }
  void send_text(std::string_view text) { send(ipc::as_bytes(text)); }
  void greet(std::uint32_t features = 0) {
    wire::Buffer hello;
    wire::encode_hello(hello, {.features = features});
    send(hello);
    EXPECT_EQ(receive().type, wire::FrameType::kWelcome);
  }
  bool submit(std::uint64_t id, std::string_view kind, std::string_view params, std::span<const wire::Part> parts,
              std::span<const int> fds = {}) {
    wire::Buffer out;
    wire::FrameBuilder frame(out, wire::FrameType::kSubmit, id, static_cast<std::uint16_t>(fds.size()));
    wire::encode_submit_head(frame.body(), kind, {});
    wire::encode_job_body(frame.body(), params, parts);
    frame.finish();
    return send(out, fds);
  }
  struct Frame {
    wire::FrameType type{};
    std::uint64_t id = 0;
    std::string body;
    bool closed = false;
    [[nodiscard]] Error error() const {
      return wire::decode_error(ipc::as_bytes(body)).value_or(Error{.message = "no error"});
    }
  };
  Frame receive() {
    std::byte head[wire::kHeaderBytes];
    if (!read_exactly(head)) return {.body = {}, .closed = true};
    const auto header = wire::decode_header(head);
    Frame frame{.type = header.type, .id = header.request_id, .body = std::string(header.body_bytes, '\0')};
    frame.closed = !read_exactly(std::as_writable_bytes(std::span(frame.body)));
    return frame;
  }
  // Gives up a send that the server does not take in time.
  void send_for_at_most(std::chrono::milliseconds patience) const {
    const timeval limit{.tv_sec = patience.count() / 1000, .tv_usec = patience.count() % 1000 * 1000};
    ::setsockopt(socket_.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  }
  void close() { socket_.reset(); }
  [[nodiscard]] int fd() const { return socket_.get(); }

 private:
  bool read_exactly(std::span<std::byte> into) {
    while (!into.empty()) {
      const ssize_t n = ::read(socket_.get(), into.data(), into.size());
      if (n <= 0) return false;
      into = into.subspan(static_cast<std::size_t>(n));
    }
    return true;
  }
  unique_fd socket_;
};

}  // namespace quern::test
