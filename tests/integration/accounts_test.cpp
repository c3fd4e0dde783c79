// What the supervisor holds for each client: counted, limited, and nothing in the end.
#include <gtest/gtest.h>

#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>
#include <functional>
#include <map>

#include "tests/integration/accounts.h"

namespace quern::test {
namespace {

// ---- Counted ---------------------------------------------------------------------------------------

TEST(Accounts, ShowWhatAClientHolds) {
  const Server server;
  Operator op(server);
  ASSERT_TRUE(op.ask(wire::AdminOp::kPause, "debug"));
  {
    RawClient client(server);
    client.greet();
    ASSERT_TRUE(submit_fds(client, 1, 3, 1000));
    EXPECT_TRUE(eventually([&] { return held(op).descriptors == 3; }));
    const Held one = held(op);
    EXPECT_GE(one.payload_bytes, 3000U);
    EXPECT_LT(one.payload_bytes, 3300U) << "and the part of it that is in the frame";

    ASSERT_TRUE(submit_fds(client, 2, 64, 1000));
    EXPECT_TRUE(eventually([&] { return held(op).descriptors == 67; }));

    const auto memfd = ipc::create_allocated_memfd("test", 8192);
    const int fds[] = {memfd->get()};
    ASSERT_TRUE(client.send(buffer_frame(3, wire::BufferOp::kCreate, "mine"), fds));
    EXPECT_EQ(client.receive().type, wire::FrameType::kAttached);
    EXPECT_EQ(held(op).descriptors, 68U);
    EXPECT_EQ(held(op).buffer_bytes, 8192U);

    RawClient other(server);
    other.greet();
    ASSERT_TRUE(other.send(buffer_frame(1, wire::BufferOp::kAttach, "mine")));
    EXPECT_EQ(other.receive().type, wire::FrameType::kAttached);
    EXPECT_EQ(held(op).descriptors, 69U) << "it keeps it open as well";
    EXPECT_EQ(held(op).buffer_bytes, 8192U) << "and has not made it";

    const boost::json::object status = op.status();
    const auto& connections = status.at("connections").as_array();
    ASSERT_EQ(connections.size(), 3U);
    EXPECT_EQ(held_by(connections[1]).descriptors, 68U);
    EXPECT_EQ(held_by(connections[2]).descriptors, 1U);
    EXPECT_EQ(status.at("descriptors").at("of_clients").to_number<int>(), 69);
    client.close();
    EXPECT_TRUE(eventually([&] { return held(op).descriptors == 2; })) << "the buffer is its creator's until freed";
    EXPECT_EQ(held(op).buffer_bytes, 8192U);
  }
  EXPECT_TRUE(eventually([&] { return op.accounts_are_empty(); }));
  ASSERT_TRUE(op.ask(wire::AdminOp::kResume, "debug"));
}

TEST(Accounts, CountALargeBodyWhileItComes) {
  const Server server;
  Operator op(server);
  RawClient client(server);
  client.greet();
  const std::string data(900'000, 'x');
  const wire::Part part{.bytes = data.size(), .data = ipc::as_bytes(data)};
  const wire::Buffer whole = submit_frame(1, "debug.echo", {&part, 1}, 0);
  ASSERT_TRUE(client.send(ipc::ByteSpan(whole).first(500'000)));
  EXPECT_TRUE(eventually([&] { return held(op).descriptors == 1; })) << "the memfd that it comes into";
  EXPECT_GE(held(op).payload_bytes, 900'000U);
  ASSERT_TRUE(client.send(ipc::ByteSpan(whole).subspan(500'000)));
  EXPECT_EQ(client.receive().type, wire::FrameType::kResult);
  EXPECT_TRUE(eventually([&] { return op.accounts_are_empty(); }));
}

TEST(Accounts, CountAnswersThatNobodyTakes) {
  const Server server;
  Operator op(server);
  RawClient client(server);
  client.greet();
  // inline, through sendfile: the socket takes a little of it
  client.send(submit_frame(1, "debug.produce", {}, 0, {}, R"({"bytes":3000000})"));
  EXPECT_TRUE(eventually([&] { return held(op).unread_bytes >= 3'000'000; }));
  EXPECT_EQ(held(op).descriptors, 1U);
  EXPECT_EQ(client.receive().type, wire::FrameType::kResult);
  EXPECT_TRUE(eventually([&] { return op.accounts_are_empty(); }));
}

// ---- And nothing in the end --------------------------------------------------------------------------

// Each is done by a client of its own, which is gone afterwards.
using Way = std::function<void(const Server&, Operator&, RawClient&)>;

void answered(RawClient& client, ErrorCode code) {
  const auto answer = client.receive();
  EXPECT_EQ(answer.type, wire::FrameType::kError);
  EXPECT_EQ(answer.error().code, code) << answer.error().message;
}

std::string params_of(std::string_view kind) {
  return kind == "debug.crash" ? R"({"until_attempt":2})" : kind == "debug.sleep" ? R"({"ms":60000})" : "";
}

// debug.sleep takes no input: it gets an output file.
void give_sleep(RawClient& client, wire::JobOptions options = {}) {
  const auto file = ipc::create_memfd("test", 0);
  const int fds[] = {file->get()};
  options.output_file = true;
  ASSERT_TRUE(client.send(submit_frame(1, "debug.sleep", {}, 1, options, params_of("debug.sleep")), fds));
}

void give(RawClient& client, std::string_view kind, const wire::JobOptions& options = {}) {
  const unique_fd memfd = sealed(4 * kMiB);
  const std::vector<wire::Part> parts(kind == "debug.crash" ? 1 : 2, {.place = wire::Place::kFd, .bytes = 4 * kMiB});
  const std::vector<int> fds(parts.size(), memfd.get());
  ASSERT_TRUE(client.send(submit_frame(1, kind, parts, fds.size(), options, params_of(kind)), fds));
}

void cancel(RawClient& client) {
  wire::Buffer out;
  wire::FrameBuilder(out, wire::FrameType::kCancel, 1).finish();
  client.send(out);
}

void wait_for_running(Operator& op) {
  EXPECT_TRUE(eventually([&] { return op.pool().at("running").to_number<int>() == 1; }));
}

const std::map<std::string, Way>& ways() {
  static const std::map<std::string, Way> all{
      {"answered",
       [](auto&, auto&, RawClient& client) {
         give(client, "debug.echo");
         EXPECT_EQ(client.receive().type, wire::FrameType::kResult);
       }},
      {"tried again after a crash",
       [](auto&, auto&, RawClient& client) {
         give(client, "debug.crash", {.attempts = 2});
         EXPECT_EQ(client.receive().type, wire::FrameType::kResult);
       }},
      {"crashed on every attempt",
       [](auto&, auto&, RawClient& client) {
         give(client, "debug.crash", {.attempts = 1});
         answered(client, ErrorCode::kWorkerCrashed);
       }},
      {"failed",
       [](auto&, auto&, RawClient& client) {
         give(client, "debug.fail");
         EXPECT_EQ(client.receive().type, wire::FrameType::kError);
       }},
      {"no such kind",
       [](auto&, auto&, RawClient& client) {
         give(client, "debug.nothing");
         answered(client, ErrorCode::kInvalidArgument);
       }},
      {"a wrong option",
       [](auto&, auto&, RawClient& client) {
         give(client, "debug.noop", {.priority = 77});
         answered(client, ErrorCode::kInvalidArgument);
       }},
      {"cancelled while queued",
       [](auto&, Operator& op, RawClient& client) {
         ASSERT_TRUE(op.ask(wire::AdminOp::kPause, "debug"));
         give(client, "debug.noop");
         EXPECT_TRUE(eventually([&] { return held(op).descriptors == 2; }));
         cancel(client);
         answered(client, ErrorCode::kCancelled);
       }},
      {"cancelled while running",
       [](auto&, Operator& op, RawClient& client) {
         give_sleep(client);
         wait_for_running(op);
         cancel(client);
         answered(client, ErrorCode::kCancelled);
       }},
      {"timed out in the queue",
       [](auto&, Operator& op, RawClient& client) {
         ASSERT_TRUE(op.ask(wire::AdminOp::kPause, "debug"));
         give(client, "debug.noop", {.queue_timeout_ms = 1});
         answered(client, ErrorCode::kTimeout);
       }},
      {"ran too long",
       [](auto&, auto&, RawClient& client) {
         give_sleep(client, {.run_timeout_ms = 10, .attempts = 1});
         answered(client, ErrorCode::kTimeout);
       }},
      {"the client goes while it is queued",
       [](auto&, Operator& op, RawClient& client) {
         ASSERT_TRUE(op.ask(wire::AdminOp::kPause, "debug"));
         give(client, "debug.noop");
         EXPECT_TRUE(eventually([&] { return held(op).descriptors == 2; }));
       }},
      {"the client goes while it runs",
       [](auto&, Operator& op, RawClient& client) {
         give_sleep(client);
         wait_for_running(op);
         EXPECT_EQ(held(op).descriptors, 1U);
       }},
      {"the client goes while it waits for a place",
       [](auto&, Operator& op, RawClient& client) {
         ASSERT_TRUE(op.ask(wire::AdminOp::kPause, "debug"));
         for (std::uint64_t id = 1; id <= 6; ++id) submit_fds(client, id, 4);
         EXPECT_TRUE(eventually([&] { return held(op).descriptors >= 16; }));
       }},
      {"the client goes in the middle of a large body",
       [](auto&, Operator& op, RawClient& client) {
         const std::string data(900'000, 'x');
         const wire::Part part{.bytes = data.size(), .data = ipc::as_bytes(data)};
         const wire::Buffer whole = submit_frame(1, "debug.echo", {&part, 1}, 0);
         ASSERT_TRUE(client.send(ipc::ByteSpan(whole).first(500'000)));
         EXPECT_TRUE(eventually([&] { return held(op).descriptors == 1; }));
       }},
      {"the client goes without taking its answer",
       [](auto&, Operator& op, RawClient& client) {
         client.send(submit_frame(1, "debug.produce", {}, 0, {}, R"({"bytes":3000000})"));
         EXPECT_TRUE(eventually([&] { return held(op).unread_bytes >= 3'000'000; }));
       }},
      {"a drained pool",
       [](auto&, Operator& op, RawClient& client) {
         ASSERT_TRUE(op.ask(wire::AdminOp::kDrain, "debug"));
         give(client, "debug.noop");
         answered(client, ErrorCode::kUnavailable);
       }},
      {"descriptors without a frame",
       [](auto&, Operator& op, RawClient& client) {
         const unique_fd memfd = sealed(10);
         const std::vector<int> fds(100, memfd.get());
         client.send(ipc::as_bytes("x"), fds);
         EXPECT_TRUE(eventually([&] { return held(op).descriptors == 100; }));
       }},
      {"more descriptors than announced",
       [](auto&, auto&, RawClient& client) {
         const unique_fd memfd = sealed(10);
         const int fds[] = {memfd.get(), memfd.get()};
         client.send(
             submit_frame(1, "debug.noop", std::vector<wire::Part>{{.place = wire::Place::kFd, .bytes = 10}}, 3), fds);
         EXPECT_EQ(client.receive().type, wire::FrameType::kGoingAway);
       }},
      {"an operator cancels",
       [](auto&, Operator& op, RawClient& client) {
         give_sleep(client);
         wait_for_running(op);
         std::uint64_t job = 0;
         const boost::json::object pool = op.pool();
         for (const auto& worker : pool.at("workers").as_array()) {
           if (const auto* running = worker.as_object().if_contains("job"))
             job = running->at("id").to_number<std::uint64_t>();
         }
         ASSERT_TRUE(op.ask(wire::AdminOp::kCancel, {}, job));
         answered(client, ErrorCode::kCancelled);
       }},
      {"a shared buffer with a job, which outlives both",
       [](auto&, Operator& op, RawClient& client) {
         const auto memfd = ipc::create_allocated_memfd("test", 8192);
         const int fds[] = {memfd->get()};
         ASSERT_TRUE(client.send(buffer_frame(3, wire::BufferOp::kCreate, "b"), fds));
         const auto attached = client.receive();
         ASSERT_EQ(attached.type, wire::FrameType::kAttached);
         const std::uint64_t id = wire::decode_attached(ipc::as_bytes(attached.body))->id;
         client.send(submit_frame(1, "debug.wait", {}, 0, {.shared_buffers = {id}}, R"({"ms":60000})"));
         wait_for_running(op);
         EXPECT_EQ(held(op).buffer_bytes, 8192U);
       }},
  };
  return all;
}

TEST(Accounts, AreEmptyAgainHoweverItEnds) {
  const Server server(debug_pool("queue_jobs_max = 5\n"));
  Operator op(server);
  for (const auto& [name, way] : ways()) {
    SCOPED_TRACE(name);
    {
      RawClient client(server);
      client.greet();
      way(server, op, client);
    }
    ASSERT_TRUE(op.ask(wire::AdminOp::kResume, "debug"));
    EXPECT_TRUE(eventually([&] { return op.accounts_are_empty(); })) << boost::json::serialize(op.status().at("users"));
    (void)op.release_quarantine();
  }
}

}  // namespace
}  // namespace quern::test
