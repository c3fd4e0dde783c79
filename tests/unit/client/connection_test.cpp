// A connection's life: the handshake, what ends it, and what becomes of the jobs that were on it.
#include <gmock/gmock.h>
#include <sys/stat.h>

#include <future>
#include <mutex>
#include <thread>

#include "tests/unit/client/fake_server.h"

namespace quern::client::test {
namespace {

using ::testing::HasSubstr;

constexpr std::chrono::milliseconds kSoon = 20s;

class Connection : public ::testing::Test {
 protected:
  void SetUp() override { server_.listen(); }
  [[nodiscard]] ClientOptions options() const { return {.socket_path = server_.path(), .name = "test"}; }
  FakeServer server_;
};

TEST_F(Connection, SaysWhoItIsAndWhatItCan) {
  Client client(options());
  auto pending = client.submit(job());
  Peer peer = server_.accept();
  const auto frame = peer.receive();
  ASSERT_TRUE(frame);
  const auto hello = wire::decode_hello(frame->body);
  ASSERT_TRUE(hello);
  EXPECT_EQ(hello->client_name, "test");
  EXPECT_EQ(hello->features, wire::kFeatureAcceptsFds);
}

TEST_F(Connection, IsMadeOnFirstUseAndSharedByAll) {
  Client client(options());
  auto first = client.submit(job());
  auto second = client.submit(job());
  Peer peer = server_.accept();
  peer.greet();
  const auto a = peer.expect(wire::FrameType::kSubmit);
  const auto b = peer.expect(wire::FrameType::kSubmit);
  EXPECT_NE(a, b);
  peer.send_result(b, "b");  // answers come in any order
  peer.send_result(a, "a");
  EXPECT_EQ(first.get()->parts.at(0).text(), "a");
  EXPECT_EQ(second.get()->parts.at(0).text(), "b");
}

TEST_F(Connection, WithoutAServerIsUnreachableAndSaysWhere) {
  Client client({.socket_path = server_.path() + ".nothing"});
  const auto result = client.run(job());
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kUnreachable);
  EXPECT_THAT(result.error().message, HasSubstr(server_.path() + ".nothing"));
}

TEST_F(Connection, ThatIsForbiddenSaysSo) {
  if (::getuid() == 0) GTEST_SKIP() << "root may connect anywhere";
  ASSERT_EQ(::chmod(server_.path().c_str(), 0), 0);
  Client client(options());
  EXPECT_EQ(client.run(job()).error().code, ErrorCode::kPermissionDenied);
}

TEST_F(Connection, WaitsForAServerThatIsBeingRestartedIfAsked) {
  server_.stop_listening();
  auto patient = options();
  patient.reconnect_for = kSoon;
  Client client(patient);
  auto pending = client.submit(job());
  EXPECT_EQ(pending.wait_for(10ms), std::future_status::timeout);
  server_.listen();
  Peer peer = server_.accept();
  peer.greet();
  peer.send_result(peer.expect(wire::FrameType::kSubmit), "at last");
  EXPECT_EQ(pending.get()->parts.at(0).text(), "at last");
}

TEST_F(Connection, StopsWaitingForAServerWhenItsPatienceEnds) {
  server_.stop_listening();
  auto patient = options();
  patient.reconnect_for = 30ms;
  Client client(patient);
  EXPECT_EQ(client.run(job()).error().code, ErrorCode::kUnreachable);
}

TEST_F(Connection, WaitsWhileTheBacklogIsFull) {
  FakeServer narrow(0);
  narrow.listen();
  const sockaddr_un address = narrow.address();
  const unique_fd other(::socket(AF_UNIX, SOCK_STREAM, 0));  // takes the only place
  ASSERT_EQ(::connect(other.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  Client client({.socket_path = narrow.path()});
  auto pending = client.submit(job());
  EXPECT_EQ(pending.wait_for(20ms), std::future_status::timeout);
  (void)narrow.accept();
  Peer peer = narrow.accept();
  peer.greet();
  peer.send_result(peer.expect(wire::FrameType::kSubmit), "in");
  EXPECT_TRUE(pending.get());
}

TEST_F(Connection, DoesNotWaitForEverForAWelcome) {
  auto hasty = options();
  hasty.connect_timeout = 30ms;
  Client client(hasty);
  const auto result = client.run(job());  // the backlog takes the connection; nobody answers
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kUnreachable);
  EXPECT_THAT(result.error().message, HasSubstr("hello"));
}

TEST_F(Connection, IsRefusedWithTheServersReason) {
  Client client(options());
  auto pending = client.submit(job());
  Peer peer = server_.accept();
  peer.send_error(wire::FrameType::kGoingAway, 0, {.code = ErrorCode::kBusy, .message = "full", .retry_after_ms = 7});
  const auto result = pending.get();
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kBusy);
  EXPECT_EQ(result.error().retry_after_ms, 7U);
}

TEST_F(Connection, ToSomethingElseIsAProtocolError) {
  Client client(options());
  auto pending = client.submit(job());
  Peer peer = server_.accept();
  peer.send_result(3, "no welcome");
  EXPECT_EQ(pending.get().error().code, ErrorCode::kProtocolError);
}

TEST_F(Connection, ThatBreaksAnswersItsJobsAndNeverSendsThemAgain) {
  Client client(options());
  auto lost = client.submit(job("lost"));
  {
    Peer peer = server_.accept();
    peer.greet();
    peer.expect(wire::FrameType::kSubmit);
  }
  EXPECT_EQ(lost.get().error().code, ErrorCode::kUnreachable);
  auto next = client.submit(job("next"));
  Peer again = server_.accept();
  again.greet();
  const auto frame = again.receive();
  ASSERT_TRUE(frame);
  const auto submit = wire::decode_submit(frame->body);
  ASSERT_TRUE(submit);
  EXPECT_THAT(std::string(ipc::as_text(submit->job_body)), HasSubstr("next"));
  again.send_result(frame->header.request_id, "done");
  EXPECT_TRUE(next.get());
}

TEST_F(Connection, GoingAwayIsAnsweredForWhatIsInFlightAndTakesNothingNew) {
  Client client(options());
  auto running = client.submit(job());
  Peer peer = server_.accept();
  peer.greet();
  const auto id = peer.expect(wire::FrameType::kSubmit);
  peer.send_error(wire::FrameType::kGoingAway, 0, {.code = ErrorCode::kShuttingDown, .message = "bye"});
  while (client.ping(20ms).error().code != ErrorCode::kShuttingDown) {
    // not yet read: the ping was sent, and has no answer
  }
  EXPECT_EQ(client.run(job()).error().code, ErrorCode::kShuttingDown);
  peer.send_result(id, "still answered");
  EXPECT_TRUE(running.get());
  peer.close();
  auto accepted = std::async(std::launch::async, [&] { return server_.accept(); });
  auto pending = client.submit(job());  // and then there may be a new server
  while (accepted.wait_for(0ms) != std::future_status::ready) {
    if (pending.wait_for(20ms) != std::future_status::ready) continue;
    ASSERT_EQ(pending.get().error().code, ErrorCode::kShuttingDown) << "the end is not yet read";
    pending = client.submit(job());
  }
  Peer fresh = accepted.get();
  fresh.greet();
  fresh.send_result(fresh.expect(wire::FrameType::kSubmit), "");
  EXPECT_TRUE(pending.get());
}

TEST_F(Connection, ThatTheServerEndsForAReasonGivesItToEveryJob) {
  Client client(options());
  auto first = client.submit(job());
  auto second = client.submit(job());
  Peer peer = server_.accept();
  peer.greet();
  peer.send_error(wire::FrameType::kGoingAway, 0, {.code = ErrorCode::kProtocolError, .message = "what was that?"});
  EXPECT_EQ(first.get().error().message, "what was that?");
  EXPECT_EQ(second.get().error().message, "what was that?");
}

// Each of these is sent as the answer to job 1.
class Garbage : public Connection, public ::testing::WithParamInterface<wire::Buffer> {};

TEST_P(Garbage, FromTheServerEndsTheConnectionAndAnswersEveryJob) {
  Client client(options());
  auto first = client.submit(job());
  auto second = client.submit(job());
  Peer peer = server_.accept();
  peer.greet();
  EXPECT_EQ(peer.expect(wire::FrameType::kSubmit), 1U);
  peer.send(GetParam());
  EXPECT_EQ(first.get().error().code, ErrorCode::kProtocolError);
  EXPECT_EQ(second.get().error().code, ErrorCode::kProtocolError);
}

wire::Buffer frame_of(std::uint8_t type, std::uint64_t id, std::string_view body, std::uint16_t fd_count = 0) {
  wire::Buffer out;
  wire::FrameBuilder frame(out, static_cast<wire::FrameType>(type), id, fd_count);
  frame.body().text(body);
  frame.finish();
  return out;
}

wire::Buffer announcing(std::uint32_t body_bytes) {
  wire::Buffer out;
  wire::ByteWriter writer(out);
  wire::encode_header(writer, {.body_bytes = body_bytes, .type = wire::FrameType::kResult, .request_id = 1});
  return out;
}

INSTANTIATE_TEST_SUITE_P(All, Garbage,
                         ::testing::Values(frame_of(99, 1, ""), frame_of(4, 1, "short"), frame_of(5, 1, "short"),
                                           frame_of(4, 77, ""), frame_of(12, 1, "text for a job"),
                                           frame_of(7, 1, "short"), frame_of(8, 0, "short"), frame_of(4, 1, "", 3),
                                           announcing(0xffffffff)));

TEST_F(Connection, AnswersWhatIsLeftWhenItIsDestroyed) {
  std::vector<Error> outcomes;
  std::mutex mutex;
  {
    const auto note = [&](Result<JobResult> result) {
      const std::lock_guard lock(mutex);
      outcomes.push_back(result.error());
    };
    Client client(options());
    client.submit(job(), [&](Result<JobResult> result) {
      note(std::move(result));
      client.submit(job(), note);  // even what a handler submits now
    });
    Peer peer = server_.accept();
    peer.greet();
    peer.expect(wire::FrameType::kSubmit);
  }
  ASSERT_EQ(outcomes.size(), 2U);
}

TEST_F(Connection, PingsAndAsks) {
  Client client(options());
  std::jthread answering([&] {
    Peer peer = server_.accept();
    peer.greet();
    wire::Buffer out;
    wire::FrameBuilder(out, wire::FrameType::kPong, peer.expect(wire::FrameType::kPing)).finish();
    peer.send(out);
    out.clear();
    wire::FrameBuilder text(out, wire::FrameType::kText, peer.expect(wire::FrameType::kKinds));
    text.body().text("{}");
    text.finish();
    peer.send(out);
    const auto frame = peer.receive();
    const auto admin = wire::decode_admin(frame->body);
    EXPECT_EQ(admin->pool, "image");
    EXPECT_EQ(admin->value, 4U);
    peer.send_error(wire::FrameType::kError, frame->header.request_id, {.code = ErrorCode::kNotFound, .message = "no"});
  });
  EXPECT_TRUE(client.ping());
  EXPECT_EQ(*client.kinds(), "{}");
  EXPECT_EQ(client.admin(wire::AdminOp::kResize, "image", 4).error().code, ErrorCode::kNotFound);
}

TEST_F(Connection, DoesNotWaitForEverForAPong) {
  Client client(options());
  Peer peer = connected(client, server_);
  auto ping = std::async(std::launch::async, [&] { return client.ping(20ms); });
  const auto id = peer.expect(wire::FrameType::kPing);
  EXPECT_EQ(ping.get().error().code, ErrorCode::kTimeout);
  wire::Buffer out;
  wire::FrameBuilder(out, wire::FrameType::kPong, id).finish();  // too late, and no harm
  peer.send(out);
  auto pending = client.submit(job());
  peer.send_result(peer.expect(wire::FrameType::kSubmit), "fine");
  EXPECT_TRUE(pending.get());
}

}  // namespace
}  // namespace quern::client::test
