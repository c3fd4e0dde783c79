// Clients that are slow, or pretend to be: each is cut off in time, and costs what the configuration says.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <boost/json/array.hpp>
#include <vector>

#include "tests/integration/raw_client.h"
#include "tests/integration/server.h"

namespace quern::test {
namespace {

using client::Part;
using ::testing::HasSubstr;

void expect_cut_off(RawClient& client, std::string_view reason) {
  const auto goodbye = client.receive();
  EXPECT_EQ(goodbye.type, wire::FrameType::kGoingAway);
  EXPECT_THAT(goodbye.error().message, HasSubstr(std::string(reason)));
  EXPECT_TRUE(client.receive().closed);
}

// The head of a submit frame whose body never comes.
void begin_frame(RawClient& client, std::uint32_t body_bytes) {
  wire::Buffer out;
  wire::ByteWriter writer(out);
  wire::encode_header(writer, {.body_bytes = body_bytes, .type = wire::FrameType::kSubmit, .request_id = 1});
  client.send(out);
}

// That, and the kind: all that the server wants to know before it makes room for the rest.
void begin_submit(RawClient& client, std::uint32_t body_bytes) {
  begin_frame(client, body_bytes);
  wire::Buffer head;
  wire::ByteWriter writer(head);
  wire::encode_submit_head(writer, "debug.echo", {});
  client.send(head);
}

TEST(SlowClient, MustSayHelloInTime) {
  const Server server("[limits]\nhandshake_timeout_ms = 1000\n" + debug_pool());
  RawClient silent(server);
  expect_cut_off(silent, "no hello came within 1000 ms");
}

TEST(SlowClient, MustFinishAFrameItBegan) {
  const Server server("[limits]\nframe_timeout_ms = 100\n" + debug_pool());
  RawClient client(server);
  client.greet();
  begin_frame(client, 1000);
  expect_cut_off(client, "limits.frame_timeout_ms");
}

TEST(SlowClient, MustTakeItsAnswers) {
  const Server server("[limits]\nwrite_timeout_ms = 200\n" + debug_pool());
  RawClient client(server);
  client.greet();
  for (std::uint64_t i = 1; i <= 40; ++i) client.submit(i, "debug.produce", R"({"bytes":1000000})", {});
  const auto clients = [&] { return server.status().at("clients").to_number<int>(); };
  EXPECT_TRUE(eventually([&] { return clients() == 1; })) << "only we who ask";
}

TEST(SlowClient, IsCutOffWhenIdleOnlyIfTheConfigurationSaysSo) {
  const Server server("[limits]\nidle_timeout_ms = 1000\n" + debug_pool());
  RawClient busy(server);
  busy.greet();
  busy.submit(1, "debug.sleep", R"({"ms":1500})", {});
  EXPECT_EQ(busy.receive().type, wire::FrameType::kResult) << "waiting for a job is not idling";
  expect_cut_off(busy, "limits.idle_timeout_ms");
}

TEST(SlowClient, AFewWithLargeFramesDoNotUseUpTheMemoryOfAll) {
  const Server server("[limits]\nframe_bytes_max = '1MiB'\nreceive_bytes_max = '2MiB'\nframe_timeout_ms = 500\n" +
                      debug_pool());
  std::vector<std::unique_ptr<RawClient>> stalled;
  for (int i = 0; i < 20; ++i) {
    stalled.push_back(std::make_unique<RawClient>(server));
    stalled.back()->greet();
    begin_submit(*stalled.back(), 1'000'000);
  }
  client::Client small = server.connect();
  EXPECT_TRUE(small.run({.kind = "debug.noop"})) << "small jobs never wait for that memory";
  const auto large = small.run({.kind = "debug.echo", .parts = {Part::copy(std::string(60'000, 'x'))}});
  EXPECT_TRUE(large);
  RawClient honest(server);
  honest.greet();
  const std::string bytes(900'000, 'y');
  const wire::Part part{.bytes = bytes.size(), .data = ipc::as_bytes(bytes)};
  honest.submit(1, "debug.echo", "", {&part, 1});
  EXPECT_EQ(honest.receive().type, wire::FrameType::kResult) << "once the stalled ones have had their time";
}

TEST(Connections, OfOneUserAreBounded) {
  const Server server("[limits]\nclients_max = 100\nclients_per_uid_max = 3\n" + debug_pool());
  std::vector<std::unique_ptr<RawClient>> held;
  for (int i = 0; i < 3; ++i) {
    held.push_back(std::make_unique<RawClient>(server));
    held.back()->greet();
  }
  RawClient fourth(server);
  const auto goodbye = fourth.receive();
  EXPECT_EQ(goodbye.error().code, ErrorCode::kBusy);
  EXPECT_THAT(goodbye.error().message, HasSubstr("limits.clients_per_uid_max"));
  held.clear();
  EXPECT_TRUE(eventually([&] { return server.connect().ping().has_value(); }));
}

TEST(Connections, InTheirThousandsLeaveThoseWhoAreServedAlone) {
  rlimit files{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &files), 0);
  files.rlim_cur = files.rlim_max;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &files), 0);
  const Server server("[limits]\nclients_max = 50\n" + debug_pool());
  client::Client served = server.connect();
  ASSERT_TRUE(served.run({.kind = "debug.noop"}));
  std::vector<std::unique_ptr<RawClient>> crowd;
  for (int i = 0; i < 2'000; ++i) {
    crowd.push_back(std::make_unique<RawClient>(server));
    if (i % 100 == 0) {
      ASSERT_TRUE(served.run({.kind = "debug.noop"}));
    }
  }
  EXPECT_LT(server.open_fds(), 50 + 64 + 100U) << "who has no place is not kept";
  crowd.clear();
  EXPECT_TRUE(eventually([&] { return server.connect().ping().has_value(); }));
}

TEST(Descriptors, SentWithoutAFrameThatAnnouncesThemEndTheConnection) {
  const Server server;
  RawClient flood(server);
  flood.greet();
  const std::size_t before = server.open_fds();
  wire::Buffer part_of_a_header(1);
  std::vector<int> fds(60, flood.fd());
  for (int i = 0; i < 12; ++i) flood.send(part_of_a_header, fds);
  while (!flood.receive().closed) {
  }
  EXPECT_TRUE(eventually([&] { return server.open_fds() < before; })) << "its socket is gone, too";
  EXPECT_TRUE(server.connect().ping());
}

}  // namespace
}  // namespace quern::test
