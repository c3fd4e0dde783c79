#include "bench/server.h"

#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <fstream>
#include <stdexcept>

#include "client/cli/ping.h"
#include "ipc/fd_passing.h"
#include "ipc/memfd.h"

namespace quern::bench {

BenchServer::BenchServer(std::string_view config) {
  const std::string path = scratch_.path("quern.toml");
  std::ofstream(path) << "[log]\nlevel = 'error'\n" << config;
  std::string program = QUERND;
  std::string words[] = {"--config", path, "--runtime-dir", scratch_.directory()};
  char* argv[] = {program.data(), words[0].data(), words[1].data(), words[2].data(), words[3].data(), nullptr};
  if (::posix_spawn(&pid_, QUERND, nullptr, nullptr, argv, environ) != 0)
    throw std::runtime_error("can't start quernd");
  if (!cli::ping(socket_path(), std::chrono::seconds(30))) throw std::runtime_error("quernd did not start");
}

BenchServer::~BenchServer() {
  ::kill(pid_, SIGTERM);
  ::waitpid(pid_, nullptr, 0);
}

PlainClient::PlainClient(const std::string& socket_path) : socket_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  socket_path.copy(address.sun_path, sizeof address.sun_path - 1);
  if (::connect(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    throw std::runtime_error("connect");
  wire::Buffer hello;
  wire::encode_hello(hello, {.client_name = "bench"});
  in_.resize(65536);
  if (!ipc::send_with_fds(socket_.get(), hello)) throw std::runtime_error("send");
  read_frame();
  wire::FrameBuilder frame(frame_, wire::FrameType::kSubmit, 1);
  wire::encode_submit_head(frame.body(), "debug.noop", {});
  wire::encode_job_body(frame.body(), "", {});
  frame.finish();
}

void PlainClient::noop() {
  if (::write(socket_.get(), frame_.data(), frame_.size()) != static_cast<ssize_t>(frame_.size()))
    throw std::runtime_error("write");
  read_frame();
}

namespace {

wire::Buffer echo_head(const wire::Part& part) {
  wire::Buffer head;
  const bool in_fd = part.place == wire::Place::kFd;
  wire::FrameBuilder frame(head, wire::FrameType::kSubmit, 1, in_fd ? 1 : 0);
  wire::encode_submit_head(frame.body(), "debug.echo", {});
  frame.body().number(std::uint32_t{0});  // no parameters
  wire::encode_parts_table(frame.body(), {&part, 1});
  frame.finish(in_fd ? 0 : part.bytes);
  return head;
}

}  // namespace

void PlainClient::echo(ipc::ByteSpan there, std::span<std::byte> back) {
  send(echo_head({.bytes = there.size()}));
  send(there);
  read_echo(back);
}

void PlainClient::echo_by_memfd(ipc::ByteSpan there, std::span<std::byte> back) {
  const auto memfd = ipc::memfd_from("input", there);
  if (!memfd) throw std::runtime_error("memfd");
  const int fds[] = {memfd->get()};
  send(echo_head({.place = wire::Place::kFd, .bytes = there.size()}), fds);
  read_echo(back);
}

void PlainClient::send(ipc::ByteSpan bytes, std::span<const int> fds) {
  while (!bytes.empty()) {
    const auto sent = ipc::send_with_fds(socket_.get(), bytes, fds);
    if (!sent || sent->status != ipc::IoStatus::kDone) throw std::runtime_error("send");
    bytes = bytes.subspan(sent->bytes);
    fds = {};
  }
}

void PlainClient::read_echo(std::span<std::byte> back) {
  const auto read_exactly = [&](std::span<std::byte> into) {
    while (!into.empty()) {
      const ssize_t n = ::read(socket_.get(), into.data(), into.size());
      if (n <= 0) throw std::runtime_error("quernd closed the connection");
      into = into.subspan(static_cast<std::size_t>(n));
    }
  };
  std::array<std::byte, wire::kHeaderBytes> header{};
  read_exactly(header);
  const wire::FrameHeader answer = wire::decode_header(header);
  if (answer.type != wire::FrameType::kResult) throw std::runtime_error("the echo failed");
  std::vector<std::byte> before_the_bytes(answer.body_bytes - back.size());
  read_exactly(before_the_bytes);
  read_exactly(back);
}

void PlainClient::read_frame() {
  std::size_t held = 0;
  while (held < wire::kHeaderBytes || held < wire::kHeaderBytes + wire::decode_header(in_).body_bytes) {
    const ssize_t n = ::read(socket_.get(), in_.data() + held, in_.size() - held);
    if (n <= 0) throw std::runtime_error("quernd closed the connection");
    held += static_cast<std::size_t>(n);
  }
  if (wire::decode_header(in_).type == wire::FrameType::kError) throw std::runtime_error("the no-op failed");
}

}  // namespace quern::bench
