// What the tests of clients' accounts have in common: jobs with many descriptors, and what status says is held.
#pragma once

#include <gtest/gtest.h>

#include <boost/json/array.hpp>
#include <ostream>
#include <vector>

#include "ipc/memfd.h"
#include "tests/integration/raw_client.h"
#include "tests/integration/server.h"

namespace quern::test {

inline constexpr std::uint64_t kMiB = 1U << 20;

inline unique_fd sealed(std::uint64_t bytes) {
  auto memfd = ipc::create_memfd("test", bytes);
  EXPECT_TRUE(memfd && ipc::seal_contents(memfd->get()));
  return std::move(*memfd);
}

inline wire::Buffer submit_frame(std::uint64_t id, std::string_view kind, std::span<const wire::Part> parts,
                                 std::size_t fd_count, const wire::JobOptions& options = {},
                                 std::string_view params = "") {
  wire::Buffer out;
  wire::FrameBuilder frame(out, wire::FrameType::kSubmit, id, static_cast<std::uint16_t>(fd_count));
  wire::encode_submit_head(frame.body(), kind, options);
  wire::encode_job_body(frame.body(), params, parts);
  frame.finish();
  return out;
}

// A job with `count` times the same memfd of `bytes`.
inline bool submit_fds(RawClient& client, std::uint64_t id, std::size_t count, std::uint64_t bytes = 10,
                       std::string_view kind = "debug.echo", const wire::JobOptions& options = {}) {
  const unique_fd memfd = sealed(bytes);
  const std::vector<wire::Part> parts(count, {.place = wire::Place::kFd, .bytes = bytes});
  const std::vector<int> fds(count, memfd.get());
  return client.send(submit_frame(id, kind, parts, count, options), fds);
}

inline wire::Buffer buffer_frame(std::uint64_t id, wire::BufferOp op, std::string_view name) {
  wire::Buffer out;
  wire::FrameBuilder frame(out, wire::FrameType::kBuffer, id, op == wire::BufferOp::kCreate ? 1 : 0);
  wire::encode_buffer_request(frame.body(), {.op = op, .name = name});
  frame.finish();
  return out;
}

struct Held {
  std::uint64_t descriptors = 0;
  std::uint64_t payload_bytes = 0;
  std::uint64_t buffer_bytes = 0;
  std::uint64_t unread_bytes = 0;
  friend bool operator==(const Held&, const Held&) = default;
};
inline std::ostream& operator<<(std::ostream& out, const Held& held) {
  return out << held.descriptors << " descriptors, bytes: payload " << held.payload_bytes << ", buffers "
             << held.buffer_bytes << ", unread " << held.unread_bytes;
}

inline Held held_by(const boost::json::value& account) {
  return {account.at("descriptors").to_number<std::uint64_t>(), account.at("payload_bytes").to_number<std::uint64_t>(),
          account.at("buffer_bytes").to_number<std::uint64_t>(), account.at("unread_bytes").to_number<std::uint64_t>()};
}

// Of all users, of whom there is one.
inline Held held(Operator& op) {
  const boost::json::object status = op.status();
  EXPECT_EQ(status.at("users").as_array().size(), 1U);
  return held_by(status.at("users").at(0));
}

}  // namespace quern::test
