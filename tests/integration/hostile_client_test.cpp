// Clients that break the protocol: each costs itself its connection, and nobody else anything.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <random>

#include "ipc/fd_passing.h"
#include "ipc/memfd.h"
#include "tests/integration/raw_client.h"
#include "tests/integration/server.h"

namespace quern::test {
namespace {

using client::Part;
using ::testing::HasSubstr;

void expect_refused(RawClient& client, std::string_view reason) {
  const auto goodbye = client.receive();
  EXPECT_EQ(goodbye.type, wire::FrameType::kGoingAway);
  EXPECT_EQ(goodbye.error().code, ErrorCode::kProtocolError);
  EXPECT_THAT(goodbye.error().message, HasSubstr(std::string(reason)));
  EXPECT_TRUE(client.receive().closed);
}

TEST(HostileClient, WhoDoesNotSayHelloIsTurnedAway) {
  const Server server;
  RawClient http(server);
  http.send_text("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
  expect_refused(http, "at most 1024");
  RawClient eager(server);
  eager.submit(1, "debug.noop", "", {});
  expect_refused(eager, "the first frame must be a hello");
}

TEST(HostileClient, AnotherVersionIsToldWhichOneIsSpoken) {
  const Server server;
  RawClient client(server);
  wire::Buffer hello;
  wire::encode_hello(hello, {.version_min = 7, .version_max = 9});
  client.send(hello);
  expect_refused(client, "this server speaks protocol version 1");
}

TEST(HostileClient, AnOversizedFrameClosesItsConnectionOnly) {
  const Server server("[limits]\nframe_bytes_max = '64KiB'\n" + debug_pool());
  client::Client bystander = server.connect();
  auto running = bystander.submit({.kind = "debug.sleep", .params_json = R"({"ms":200})"});
  RawClient client(server);
  client.greet();
  wire::Buffer out;
  wire::ByteWriter writer(out);
  wire::encode_header(writer, {.body_bytes = 65537, .type = wire::FrameType::kSubmit, .request_id = 1});
  client.send(out);
  expect_refused(client, "65536 are allowed");
  EXPECT_TRUE(running.get());
}

TEST(HostileClient, UnknownFramesAndReusedIdsAreProtocolErrors) {
  const Server server;
  RawClient unknown(server);
  unknown.greet();
  wire::Buffer out;
  wire::FrameBuilder(out, static_cast<wire::FrameType>(99), 1).finish();
  unknown.send(out);
  expect_refused(unknown, "type 99");
  RawClient reused(server);
  reused.greet();
  reused.submit(5, "debug.sleep", R"({"ms":5000})", {});
  reused.submit(5, "debug.sleep", R"({"ms":5000})", {});
  expect_refused(reused, "request id 5 is in use");
}

TEST(HostileClient, RandomBytesNeverHurtAnyone) {
  const Server server;
  client::Client bystander = server.connect();
  std::minstd_rand random(11);
  for (int i = 0; i < 300; ++i) {
    RawClient client(server);
    if (i % 2 == 0) client.greet();
    std::string noise(random() % 600, '\0');
    for (char& c : noise) c = static_cast<char>(random());
    if (i % 3 == 0 && noise.size() > 4) noise.replace(1, 3, 3, '\0');  // a plausible length
    client.send_text(noise);
  }
  EXPECT_TRUE(bystander.run({.kind = "debug.noop"}));
  EXPECT_TRUE(eventually([&] { return server.status().at("clients").to_number<int>() <= 2; }));
}

TEST(HostileClient, LiesAboutPartsAreItsJobsError) {
  const Server server;
  RawClient client(server);
  client.greet();
  const auto memfd = ipc::memfd_from("test", ipc::as_bytes("12345"));
  ASSERT_TRUE(memfd);
  const int fds[] = {memfd->get()};
  const std::vector<wire::Part> longer{{.place = wire::Place::kFd, .bytes = 500'000}};
  client.submit(1, "debug.echo", "", longer, fds);
  EXPECT_EQ(client.receive().error().field, "parts");
  client.submit(2, "debug.echo", "", {}, fds);
  EXPECT_EQ(client.receive().error().field, "parts") << "a descriptor that no part mentions";
  client.submit(3, "debug.echo", "", longer, {});
  EXPECT_EQ(client.receive().error().field, "parts") << "a part without its descriptor";
  const std::vector<wire::Part> right{{.place = wire::Place::kFd, .bytes = 5}};
  client.submit(4, "debug.echo", "", right, fds);
  EXPECT_EQ(client.receive().type, wire::FrameType::kResult) << "and the connection is fine";
  EXPECT_EQ(server.pool().at("deaths").as_object().size(), 0U);
}

TEST(HostileClient, DescriptorsThatCouldChangeAreRefused) {
  const Server server;
  RawClient client(server);
  client.greet();
  const auto unsealed = ipc::create_memfd("test", 4096);
  ASSERT_TRUE(unsealed);
  const std::vector<wire::Part> part{{.place = wire::Place::kFd, .bytes = 4096}};
  for (const int fd : {unsealed->get(), client.fd(), 0}) {
    const int fds[] = {fd};
    client.submit(static_cast<std::uint64_t>(fd) + 1, "debug.echo", "", part, fds);
    EXPECT_EQ(client.receive().error().code, ErrorCode::kInvalidArgument);
  }
}

TEST(HostileClient, ALargeResultReachesAClientWithoutDescriptorsInline) {
  const Server server;
  RawClient client(server);
  client.greet(0);
  client.submit(1, "debug.produce", R"({"bytes":5000000})", {});
  const auto frame = client.receive();
  ASSERT_EQ(frame.type, wire::FrameType::kResult);
  const auto view = wire::decode_result(ipc::as_bytes(frame.body));
  ASSERT_TRUE(view);
  std::vector<wire::Part> parts;
  ASSERT_TRUE(wire::decode_parts(view->parts, parts));
  ASSERT_EQ(parts.size(), 1U);
  ASSERT_EQ(parts[0].data.size(), 5'000'000U);
  for (std::size_t i = 0; i < 5'000'000; i += 9973) ASSERT_EQ(static_cast<std::size_t>(parts[0].data[i]), i % 251);
}

TEST(HostileClient, AHalfSentFrameAndASilentReaderHoldUpNobody) {
  const Server server;
  RawClient half(server);
  half.greet();
  wire::Buffer out;
  wire::ByteWriter writer(out);
  wire::encode_header(writer, {.body_bytes = 10'000'000, .type = wire::FrameType::kSubmit, .request_id = 1});
  half.send(out);
  RawClient silent(server);
  silent.greet(0);
  for (std::uint64_t id = 1; id <= 200; ++id) silent.submit(id, "debug.produce", R"({"bytes":30000})", {});
  client::Client bystander = server.connect();
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(bystander.run({.kind = "debug.noop"}));
}

TEST(HostileClient, TooManyConnectionsAreToldSo) {
  const Server server("[limits]\nclients_max = 3\n" + debug_pool());
  RawClient a(server);
  RawClient b(server);
  RawClient c(server);
  a.greet();
  b.greet();
  c.greet();
  RawClient d(server);
  const auto goodbye = d.receive();
  EXPECT_EQ(goodbye.error().code, ErrorCode::kBusy);
  a.close();
  EXPECT_TRUE(eventually([&] { return server.connect().ping().has_value(); }));
}

TEST(HostileClient, OperatorsRequestsAreRefusedOnTheJobSocket) {
  const Server server;
  client::Client client = server.connect();
  EXPECT_EQ(client.admin(wire::AdminOp::kResize, "debug", 4).error().code, ErrorCode::kPermissionDenied);
}

TEST(HostileClient, AClientThatOnlyListensStillGetsItsAnswers) {
  const Server server;
  RawClient client(server);
  client.greet();
  client.submit(1, "debug.sleep", R"({"ms":100})", {});
  ASSERT_EQ(::shutdown(client.fd(), SHUT_WR), 0);
  EXPECT_EQ(client.receive().type, wire::FrameType::kResult);
  EXPECT_TRUE(client.receive().closed);
}

}  // namespace
}  // namespace quern::test
