// What a client can't make the supervisor hold: refused in words, the connection goes on, and so does everybody else.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <atomic>
#include <thread>

#include "tests/integration/accounts.h"

namespace quern::test {
namespace {

using client::Part;
using ::testing::HasSubstr;

void expect_refused(RawClient& client, ErrorCode code, std::string_view setting) {
  const auto answer = client.receive();
  EXPECT_EQ(answer.type, wire::FrameType::kError);
  EXPECT_EQ(answer.error().code, code);
  EXPECT_EQ(answer.error().field, "parts");
  EXPECT_THAT(answer.error().message, HasSubstr(std::string(setting)));
  EXPECT_EQ(answer.error().retry_after_ms > 0, code == ErrorCode::kBusy);
}

TEST(Accounts, AJobWithDescriptorsAboveTheLimitIsRefusedAndTheConnectionGoesOn) {
  const Server server("[limits]\nclient_fds_max = 10\n" + debug_pool());
  Operator op(server);
  RawClient client(server);
  client.greet();
  ASSERT_TRUE(submit_fds(client, 1, 11));
  expect_refused(client, ErrorCode::kTooLarge, "limits.client_fds_max");
  ASSERT_TRUE(op.ask(wire::AdminOp::kPause, "debug"));
  ASSERT_TRUE(submit_fds(client, 2, 8));
  ASSERT_TRUE(submit_fds(client, 3, 3));
  expect_refused(client, ErrorCode::kBusy, "limits.client_fds_max");
  EXPECT_EQ(held(op).descriptors, 8U);
  ASSERT_TRUE(submit_fds(client, 4, 2));
  EXPECT_TRUE(eventually([&] { return held(op).descriptors == 10; }));
  ASSERT_TRUE(op.ask(wire::AdminOp::kResume, "debug"));
  EXPECT_EQ(client.receive().type, wire::FrameType::kResult);
  EXPECT_EQ(client.receive().type, wire::FrameType::kResult);
  ASSERT_TRUE(submit_fds(client, 5, 3));
  EXPECT_EQ(client.receive().type, wire::FrameType::kResult) << "now it fits";
  EXPECT_TRUE(eventually([&] { return op.accounts_are_empty(); }));
}

TEST(Accounts, AnotherConnectionIsNoWayRoundTheLimitOfAUser) {
  const Server server("[limits]\nfds_per_uid_max = 10\npayload_bytes_per_uid_max = '1MiB'\n" + debug_pool());
  Operator op(server);
  ASSERT_TRUE(op.ask(wire::AdminOp::kPause, "debug"));
  RawClient first(server);
  RawClient second(server);
  first.greet();
  second.greet();
  ASSERT_TRUE(submit_fds(first, 1, 8, kMiB / 10));
  EXPECT_TRUE(eventually([&] { return held(op).descriptors == 8; }));
  ASSERT_TRUE(submit_fds(second, 1, 3));
  expect_refused(second, ErrorCode::kBusy, "limits.fds_per_uid_max");
  ASSERT_TRUE(submit_fds(second, 2, 2, kMiB / 5));
  expect_refused(second, ErrorCode::kBusy, "limits.payload_bytes_per_uid_max");
  ASSERT_TRUE(submit_fds(second, 3, 1, 2 * kMiB));
  expect_refused(second, ErrorCode::kTooLarge, "limits.payload_bytes_per_uid_max");
  first.close();
  EXPECT_TRUE(eventually([&] { return op.accounts_are_empty(); }));
  ASSERT_TRUE(op.ask(wire::AdminOp::kResume, "debug"));
  ASSERT_TRUE(submit_fds(second, 4, 2, kMiB / 5));
  EXPECT_EQ(second.receive().type, wire::FrameType::kResult);
}

TEST(Accounts, PayloadAboveTheLimitIsRefusedWhetherItComesInlineOrNot) {
  const Server server("[limits]\nclient_payload_bytes_max = '1MiB'\n" + debug_pool());
  Operator op(server);
  RawClient client(server);
  client.greet();
  const auto send_inline = [&](std::uint64_t id, std::size_t bytes) {
    const std::string data(bytes, 'x');
    const wire::Part part{.bytes = data.size(), .data = ipc::as_bytes(data)};
    EXPECT_TRUE(client.send(submit_frame(id, "debug.echo", {&part, 1}, 0)));
  };
  send_inline(1, kMiB + 1);
  expect_refused(client, ErrorCode::kTooLarge, "limits.client_payload_bytes_max");
  ASSERT_TRUE(op.ask(wire::AdminOp::kPause, "debug"));
  send_inline(2, 800'000);
  EXPECT_TRUE(eventually([&] { return op.pool().at("queued").to_number<int>() == 1; }));
  send_inline(3, 300'000);
  expect_refused(client, ErrorCode::kBusy, "limits.client_payload_bytes_max");
  ASSERT_TRUE(submit_fds(client, 4, 1, 300'000));
  expect_refused(client, ErrorCode::kBusy, "limits.client_payload_bytes_max");
  ASSERT_TRUE(op.ask(wire::AdminOp::kResume, "debug"));
  EXPECT_EQ(client.receive().type, wire::FrameType::kResult);
  send_inline(5, 300'000);
  EXPECT_EQ(client.receive().type, wire::FrameType::kResult);
}

TEST(Accounts, WhoAttachesAndTakesNoAnswerIsNotReadAnyMore) {
  const Server server("[limits]\nclient_fds_max = 100\n" + debug_pool());
  RawClient client(server);
  client.greet();
  const auto memfd = ipc::create_allocated_memfd("test", 4096);
  const int fds[] = {memfd->get()};
  ASSERT_TRUE(client.send(buffer_frame(1, wire::BufferOp::kCreate, "b"), fds));
  EXPECT_EQ(client.receive().type, wire::FrameType::kAttached);
  const std::size_t before = server.open_fds();
  wire::Buffer many;
  for (std::uint64_t id = 2; id <= 2000; ++id) {
    const wire::Buffer frame = buffer_frame(id, wire::BufferOp::kAttach, "b");
    many.insert(many.end(), frame.begin(), frame.end());
  }
  auto sent = std::async(std::launch::async, [&] { return client.send(many); });
  Operator op(server);
  EXPECT_TRUE(eventually([&] { return held(op).descriptors > 50; }));
  EXPECT_LE(held(op).descriptors, 100U);
  EXPECT_LE(server.open_fds(), before + 105);
  for (std::uint64_t id = 2; id <= 2000; ++id) {
    const auto answer = client.receive();
    ASSERT_EQ(answer.id, id);
    ASSERT_EQ(answer.type, wire::FrameType::kAttached) << answer.error().message;
  }
  EXPECT_TRUE(sent.get());
}

// Half a million descriptors, of which most never get in: of one client, and the others don't notice.
TEST(Accounts, AFloodOfDescriptorsLeavesTheOthersTheirs) {
  const Server server(debug_pool("queue_jobs_max = 20000\n") + "[pools.shared]\nmodules = ['shared']\nworkers = 1\n" +
                      "[pools.hash]\nmodules = ['hash']\nworkers = 1\n");
  ASSERT_TRUE(server.operate(wire::AdminOp::kPause, "debug"));
  RawClient flooding(server);
  flooding.greet();
  std::atomic<std::uint64_t> refused = 0;
  std::atomic<bool> ended = false;
  std::thread reader([&] {
    for (auto answer = flooding.receive(); !answer.closed; answer = flooding.receive()) {
      if (answer.type != wire::FrameType::kError || answer.error().code != ErrorCode::kBusy) break;
      ++refused;
    }
    ended = true;
  });
  const unique_fd memfd = sealed(10);
  const std::vector<wire::Part> parts(64, {.place = wire::Place::kFd, .bytes = 10});
  const std::vector<int> fds(64, memfd.get());
  std::uint64_t given = 0;
  while (given < 8'000 && flooding.send(submit_frame(given + 1, "debug.noop", parts, 64), fds)) ++given;
  EXPECT_EQ(given, 8'000U) << "its connection goes on";
  Operator op(server);
  const boost::json::object status = op.status();
  const auto most = status.at("descriptors").at("of_clients_max").to_number<std::uint64_t>();
  EXPECT_TRUE(eventually([&] { return held(op).descriptors / 64 + refused == given; }));
  EXPECT_LE(held(op).descriptors, most / 4);
  EXPECT_GT(refused, 0U);

  client::Client other = server.connect();
  auto buffer = client::Buffer::allocate(kMiB);
  ASSERT_TRUE(buffer);
  const auto result = other.run({.kind = "hash.digest",
                                 .params_json = R"({"algorithm":"sha256"})",
                                 .parts = {Part::transfer(std::move(*buffer))}});
  EXPECT_TRUE(result) << to_string(result.error());
  EXPECT_FALSE(ended);
  ::shutdown(flooding.fd(), SHUT_RDWR);
  reader.join();
  EXPECT_TRUE(eventually([&] { return op.accounts_are_empty(); }));
  ASSERT_TRUE(server.operate(wire::AdminOp::kResume, "debug"));
}

}  // namespace
}  // namespace quern::test
