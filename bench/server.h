// A quernd for the length of a benchmark, and a plain blocking client to it.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "bench/scratch.h"
#include "common/unique_fd.h"
#include "ipc/wire.h"

namespace quern::bench {

class BenchServer {
 public:
  explicit BenchServer(std::string_view config);
  ~BenchServer();
  BenchServer(const BenchServer&) = delete;
  BenchServer& operator=(const BenchServer&) = delete;
  [[nodiscard]] std::string socket_path() const { return scratch_.path("quern.sock"); }
  [[nodiscard]] std::string admin_path() const { return scratch_.path("admin.sock"); }

 private:
  Scratch scratch_;
  pid_t pid_ = -1;
};

// One request at a time over a blocking socket: nothing of ours between the caller and the kernel.
class PlainClient {
 public:
  explicit PlainClient(const std::string& socket_path);
  // Submits debug.noop and waits for its answer.
  void noop();
  // Runs debug.echo, all of it inside the frames, both ways. `back` takes as many bytes as `there` has.
  void echo(ipc::ByteSpan there, std::span<std::byte> back);
  // The same with the payload copied into a sealed memfd.
  void echo_by_memfd(ipc::ByteSpan there, std::span<std::byte> back);

 private:
  void read_frame();
  void send(ipc::ByteSpan bytes, std::span<const int> fds = {});
  void read_echo(std::span<std::byte> back);
  unique_fd socket_;
  wire::Buffer frame_;
  wire::Buffer in_;
};

}  // namespace quern::bench
