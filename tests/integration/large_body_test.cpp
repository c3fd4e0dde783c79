// Jobs whose payload comes inline and is larger than a connection's buffer: received as it comes, without the
// supervisor growing, the others waiting, or anything staying behind.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <atomic>
#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <cstdlib>
#include <fstream>
#include <future>
#include <map>
#include <sstream>
#include <thread>

#include "common/sanitizer.h"
#include "ipc/memfd.h"
#include "tests/integration/raw_client.h"
#include "tests/integration/server.h"

namespace quern::test {
namespace {

using ::testing::HasSubstr;

std::string pattern(std::size_t bytes) {
  std::string text(bytes, '\0');
  for (std::size_t i = 0; i < bytes; ++i) text[i] = static_cast<char>('a' + i % 23);
  return text;
}

// The beginning of a SUBMIT with one inline part of `data_bytes`, up to that part's bytes.
bool begin_submit(RawClient& client, std::uint64_t id, std::string_view kind, std::uint64_t data_bytes,
                  const wire::JobOptions& options = {}, std::string_view params = "") {
  wire::Buffer out;
  wire::FrameBuilder frame(out, wire::FrameType::kSubmit, id);
  wire::encode_submit_head(frame.body(), kind, options);
  frame.body().number(static_cast<std::uint32_t>(params.size()));
  frame.body().text(params);
  wire::encode_parts_table(frame.body(), std::vector<wire::Part>{{.bytes = data_bytes}});
  frame.finish(data_bytes);
  return client.send(out);
}

bool send_pattern(RawClient& client, std::uint64_t bytes) {
  const std::string chunk = pattern(23 * 40'000);
  while (bytes > 0) {
    const std::uint64_t n = std::min<std::uint64_t>(bytes, chunk.size());
    if (!client.send(ipc::as_bytes(std::string_view(chunk).substr(0, n)))) return false;
    bytes -= n;
  }
  return true;
}

bool submit_pattern(RawClient& client, std::uint64_t id, std::uint64_t bytes, std::string_view kind = "debug.echo") {
  return begin_submit(client, id, kind, bytes) && send_pattern(client, bytes);
}

void noop_works(RawClient& client, std::uint64_t id) {
  client.submit(id, "debug.noop", "", {});
  const auto answer = client.receive();
  EXPECT_EQ(answer.type, wire::FrameType::kResult);
  EXPECT_EQ(answer.id, id);
}

std::uint64_t peak_bytes(const Server& server) {
  std::ifstream status("/proc/" + std::to_string(server.pid()) + "/status");
  std::string line;
  while (std::getline(status, line)) {
    if (line.starts_with("VmHWM:")) return std::stoull(line.substr(6)) * 1024;
  }
  return UINT64_MAX;
}

// The bytes of the one part that came back inline.
std::string echoed(const RawClient::Frame& frame) {
  EXPECT_EQ(frame.type, wire::FrameType::kResult) << frame.error().message;
  const auto view = wire::decode_result(ipc::as_bytes(frame.body));
  std::vector<wire::Part> parts;
  if (!view || !wire::decode_parts(view->parts, parts) || parts.size() != 1) return "not one part";
  return std::string(ipc::as_text(parts[0].data));
}

// ---- Memory and others' turns ------------------------------------------------------------------------

void goes_there_and_back(std::uint64_t bytes) {
  const Server server(debug_pool("result_bytes_max = '3GiB'\n"));
  [[maybe_unused]] const std::uint64_t before = peak_bytes(server);
  const auto large = std::async(std::launch::async, [&] {
    RawClient client(server);
    const timeval patience{.tv_sec = 120, .tv_usec = 0};  // the worker copies its input first
    ASSERT_EQ(::setsockopt(client.fd(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
    client.greet();
    EXPECT_TRUE(submit_pattern(client, 1, bytes));
    std::vector<std::byte> head(wire::kHeaderBytes);
    ASSERT_EQ(::recv(client.fd(), head.data(), head.size(), MSG_WAITALL), static_cast<ssize_t>(head.size()));
    const auto header = wire::decode_header(head);
    EXPECT_EQ(header.type, wire::FrameType::kResult);
    std::uint64_t missing = header.body_bytes;
    EXPECT_GT(missing, bytes);
    std::vector<char> chunk(1U << 20);
    for (ssize_t n = 1; missing > 0 && n > 0; missing -= static_cast<std::uint64_t>(n)) {
      n = ::recv(client.fd(), chunk.data(), std::min<std::uint64_t>(missing, chunk.size()), 0);
      ASSERT_GT(n, 0);
    }
  });
  RawClient other(server);
  other.greet();
  std::uint64_t noops = 0;
  while (large.wait_for(0s) != std::future_status::ready) noop_works(other, ++noops);
  EXPECT_GT(noops, bytes >> 22) << "one for four MiB of the large job would be slow";
  if (!kSanitized) {
    EXPECT_LT(peak_bytes(server), before + (4U << 20));
  }
}

TEST(LargeBody, OfHundredsOfMebibytesCostsTheSupervisorNoMemoryAndTheOthersNoTurn) { goes_there_and_back(300U << 20); }

TEST(LargeBody, OfTwoGibibytesDoesNeither) {
  if (std::getenv("QUERN_LONG") == nullptr) GTEST_SKIP() << "takes 4 GiB of memory; set QUERN_LONG=1";
  goes_there_and_back(2ULL << 30);
}

TEST(LargeBody, ComesBackByteForByteAndWhatIsBehindItFollows) {
  const Server server;
  RawClient client(server);
  client.greet();
  for (const std::size_t bytes : {65'400U, 65'536U, 70'000U, 1'000'000U, 3'000'001U}) {
    const std::string data = pattern(bytes);
    wire::Buffer out;
    const auto add = [&](std::uint64_t id, std::string_view kind, std::span<const wire::Part> parts) {
      wire::FrameBuilder frame(out, wire::FrameType::kSubmit, id);
      wire::encode_submit_head(frame.body(), kind, {});
      wire::encode_job_body(frame.body(), "", parts);
      frame.finish();
    };
    const wire::Part part{.bytes = data.size(), .data = ipc::as_bytes(data)};
    add(1, "debug.noop", {});
    add(2, "debug.echo", {&part, 1});
    add(3, "debug.noop", {});
    add(4, "debug.echo", {&part, 1});
    add(5, "debug.noop", {});
    std::thread sender([&] { EXPECT_TRUE(client.send(out)); });
    std::map<std::uint64_t, RawClient::Frame> answers;
    for (int i = 0; i < 5; ++i) {
      auto answer = client.receive();
      const std::uint64_t id = answer.id;
      EXPECT_TRUE(answers.emplace(id, std::move(answer)).second);
    }
    sender.join();
    for (const std::uint64_t id : {1U, 3U, 5U}) EXPECT_EQ(answers[id].type, wire::FrameType::kResult);
    for (const std::uint64_t id : {2U, 4U}) EXPECT_TRUE(echoed(answers[id]) == data) << bytes;
  }
}

TEST(LargeBody, MayComeWithDescriptors) {
  const Server server;
  RawClient client(server);
  client.greet();
  const std::string data = pattern(200'000);
  const auto memfd = ipc::memfd_from("test", ipc::as_bytes("in a descriptor"));
  ASSERT_TRUE(memfd);
  const int fds[] = {memfd->get()};
  const std::vector<wire::Part> parts{{.name = "a", .bytes = data.size(), .data = ipc::as_bytes(data)},
                                      {.name = "b", .place = wire::Place::kFd, .bytes = 15}};
  ASSERT_TRUE(client.submit(1, "debug.echo", "", parts, fds));
  const auto answer = client.receive();
  ASSERT_EQ(answer.type, wire::FrameType::kResult) << answer.error().message;
  std::vector<wire::Part> echo;
  ASSERT_TRUE(wire::decode_parts(wire::decode_result(ipc::as_bytes(answer.body))->parts, echo));
  ASSERT_EQ(echo.size(), 2U);
  EXPECT_TRUE(ipc::as_text(echo[0].data) == data);
  EXPECT_EQ(ipc::as_text(echo[1].data), "in a descriptor");
}

TEST(LargeBody, IsThereForASecondAttempt) {
  const Server server(debug_pool("attempts = 2\n"));
  RawClient client(server);
  client.greet();
  ASSERT_TRUE(begin_submit(client, 1, "debug.crash", 500'000, {}, R"({"until_attempt":2})"));
  ASSERT_TRUE(send_pattern(client, 500'000));
  EXPECT_EQ(client.receive().type, wire::FrameType::kResult);
  EXPECT_EQ(server.deaths("signaled"), 1U);
}

TEST(LargeBody, ThatKillsWorkersIsQuarantinedAndReplayed) {
  const Server server(debug_pool("attempts = 1\nquarantine_deaths = 2\n"));
  RawClient client(server);
  client.greet();
  std::uint64_t id = 0;
  const auto crash = [&] {
    EXPECT_TRUE(begin_submit(client, ++id, "debug.crash", 500'000));
    EXPECT_TRUE(send_pattern(client, 500'000));
    return client.receive().error().code;
  };
  EXPECT_TRUE(eventually([&] { return crash() == ErrorCode::kQuarantined; }));
  const auto list = boost::json::parse(server.operate(wire::AdminOp::kQuarantineList, "").value()).at("entries");
  ASSERT_EQ(list.as_array().size(), 1U);
  EXPECT_GT(list.at(0).at("bytes").to_number<int>(), 500'000);
  const auto entry = std::stoull(std::string(list.at(0).at("id").as_string()), nullptr, 16);
  const auto replayed = server.operate(wire::AdminOp::kQuarantineReplay, "", entry);
  ASSERT_TRUE(replayed) << replayed.error().message;
  EXPECT_THAT(*replayed, HasSubstr("worker_crashed"));
  EXPECT_TRUE(server.operate(wire::AdminOp::kQuarantineRelease, "", entry));
}

// ---- Refusals ----------------------------------------------------------------------------------------

// The job is refused while most of it is still to be sent, and the connection is as good as before.
void expect_refused_at_once(const Server& server, std::string_view kind, ErrorCode code, std::string_view message,
                            const wire::JobOptions& options = {}) {
  RawClient client(server);
  client.greet();
  constexpr std::uint64_t kBytes = 5'000'000;
  ASSERT_TRUE(begin_submit(client, 7, kind, kBytes, options));
  const auto answer = client.receive();
  EXPECT_EQ(answer.type, wire::FrameType::kError);
  EXPECT_EQ(answer.id, 7U);
  EXPECT_EQ(answer.error().code, code);
  EXPECT_THAT(answer.error().message, HasSubstr(std::string(message)));
  ASSERT_TRUE(send_pattern(client, kBytes));
  wire::Buffer ping;
  wire::FrameBuilder(ping, wire::FrameType::kPing, 8).finish();
  client.send(ping);
  EXPECT_EQ(client.receive().type, wire::FrameType::kPong);
}

TEST(LargeBody, ThatCannotBeTakenIsRefusedBeforeItIsSent) {
  const Server server("[limits]\npayload_bytes_max = '4MiB'\n" + debug_pool() + "[pools.hash]\nmodules = ['hash']\n");
  expect_refused_at_once(server, "debug.nothing", ErrorCode::kInvalidArgument, "no kind 'debug.nothing'");
  expect_refused_at_once(server, "debug.echo", ErrorCode::kTooLarge, "limits.payload_bytes_max");
}

TEST(LargeBody, ForAPoolThatTakesNothingIsRefusedBeforeItIsSent) {
  const Server server(debug_pool("queue_jobs_max = 1\n"));
  expect_refused_at_once(server, "debug.echo", ErrorCode::kInvalidArgument, "priority", {.priority = 77});
  ASSERT_TRUE(server.operate(wire::AdminOp::kPause, "debug"));
  client::Client client = server.connect();
  auto queued = client.submit({.kind = "debug.noop"});
  EXPECT_TRUE(eventually([&] { return server.pool().at("queued").to_number<int>() == 1; }));
  expect_refused_at_once(server, "debug.echo", ErrorCode::kBusy, "no place", {.no_wait = true});
  ASSERT_TRUE(server.operate(wire::AdminOp::kResume, "debug"));
  EXPECT_TRUE(queued.get());
  ASSERT_TRUE(server.operate(wire::AdminOp::kDrain, "debug"));
  expect_refused_at_once(server, "debug.echo", ErrorCode::kUnavailable, "drained");
}

TEST(LargeBody, OnlyAJobMayHaveOne) {
  const Server server;
  RawClient client(server);
  client.greet();
  wire::Buffer out;
  wire::ByteWriter writer(out);
  wire::encode_header(writer, {.body_bytes = 70'000, .type = wire::FrameType::kKinds, .request_id = 1});
  client.send(out);
  const auto goodbye = client.receive();
  EXPECT_EQ(goodbye.type, wire::FrameType::kGoingAway);
  EXPECT_THAT(goodbye.error().message, HasSubstr("only a SUBMIT"));
}

TEST(LargeBody, WaitsForItsPlaceWithoutBeingRead) {
  const Server server(debug_pool("queue_jobs_max = 1\n"));
  ASSERT_TRUE(server.operate(wire::AdminOp::kPause, "debug"));
  client::Client first = server.connect();
  auto queued = first.submit({.kind = "debug.noop"});
  EXPECT_TRUE(eventually([&] { return server.pool().at("queued").to_number<int>() == 1; }));
  const std::size_t memfds = server.holdings().memfds;
  RawClient client(server);
  client.greet();
  auto sent = std::async(std::launch::async, [&] { return submit_pattern(client, 1, 20U << 20); });
  EXPECT_EQ(sent.wait_for(200ms), std::future_status::timeout);
  EXPECT_EQ(server.holdings().memfds, memfds) << "nothing of it is kept";
  ASSERT_TRUE(server.operate(wire::AdminOp::kResume, "debug"));
  EXPECT_TRUE(sent.get());
  EXPECT_EQ(client.receive().type, wire::FrameType::kResult);
  EXPECT_TRUE(queued.get());
}

TEST(LargeBody, ThatWaitsForAPlaceIsNotOvertakenBySmallOnes) {
  const Server server("[pools.debug]\nmodules = ['debug']\nworkers = 1\nqueue_bytes_max = '64KiB'\n");
  Operator op(server);
  client::Client busy = server.connect();
  auto sleeping = busy.submit({.kind = "debug.sleep", .params_json = R"({"ms":60000})"});
  (void)server.busy_worker();
  RawClient first(server);
  RawClient large(server);
  RawClient small(server);
  for (RawClient* client : {&first, &large, &small}) client->greet();
  ASSERT_TRUE(submit_pattern(first, 1, 20'000));
  EXPECT_TRUE(eventually([&] { return op.pool().at("queued").to_number<int>() == 1; }));
  ASSERT_TRUE(submit_pattern(large, 1, 60'000));
  std::uint64_t taken = 0;
  const auto is_held_back = [&] {
    EXPECT_TRUE(begin_submit(small, taken + 1, "debug.echo", 1'000, {.no_wait = true}) && send_pattern(small, 1'000));
    wire::Buffer ping;
    wire::FrameBuilder(ping, wire::FrameType::kPing, 1'000'000).finish();
    small.send(ping);
    const auto answer = small.receive();
    if (answer.type == wire::FrameType::kPong) return ++taken == 0;
    EXPECT_EQ(answer.error().code, ErrorCode::kBusy);
    EXPECT_EQ(small.receive().type, wire::FrameType::kPong);
    return true;
  };
  EXPECT_TRUE(eventually(is_held_back));
  EXPECT_LT(op.pool().at("queued_bytes").to_number<std::uint64_t>(), 50'000U) << "although there is room for it";
  const auto jobs = boost::json::parse(op.ask(wire::AdminOp::kJobs).value()).at("jobs");
  ASSERT_TRUE(op.ask(wire::AdminOp::kCancel, {}, jobs.at(0).at("id").to_number<std::uint64_t>()));
  EXPECT_EQ(large.receive().type, wire::FrameType::kResult);
  EXPECT_EQ(first.receive().type, wire::FrameType::kResult);
  for (; taken > 0; --taken) EXPECT_EQ(small.receive().type, wire::FrameType::kResult);
  EXPECT_FALSE(sleeping.get());
}

TEST(LargeBody, ThatFindsNoPlaceOnceItIsHereGivesBackTheMemoryThatOthersWaitFor) {
  const Server server("[limits]\nreceive_bytes_max = '1MiB'\n" + debug_pool("queue_jobs_max = 1\n") +
                      "[pools.hash]\nmodules = ['hash']\nworkers = 1\n");
  RawClient waiting(server);
  waiting.greet();
  ASSERT_TRUE(begin_submit(waiting, 1, "debug.echo", 900'000, {.queue_timeout_ms = 200}));
  Operator op(server);
  EXPECT_TRUE(eventually([&] { return server.holdings().memfds > 0; })) << "it is let in";
  ASSERT_TRUE(op.ask(wire::AdminOp::kPause, "debug"));
  client::Client first = server.connect();
  auto queued = first.submit({.kind = "debug.noop"});
  EXPECT_TRUE(eventually([&] { return op.pool("debug").at("queued").to_number<int>() == 1; }));
  ASSERT_TRUE(send_pattern(waiting, 900'000));

  RawClient other(server);
  other.greet();
  auto sent = std::async(std::launch::async, [&] {
    return begin_submit(other, 1, "hash.digest", 800'000, {}, R"({"algorithm":"sha256"})") &&
           send_pattern(other, 800'000);
  });
  const auto answer = waiting.receive();
  EXPECT_EQ(answer.error().code, ErrorCode::kBusy);
  EXPECT_THAT(answer.error().message, HasSubstr("queue_timeout_ms"));
  EXPECT_GT(answer.error().retry_after_ms, 0U);
  EXPECT_TRUE(sent.get());
  EXPECT_EQ(other.receive().type, wire::FrameType::kResult);
  ASSERT_TRUE(op.ask(wire::AdminOp::kResume, "debug"));
  EXPECT_TRUE(queued.get());
  noop_works(waiting, 2);
}

// ---- Clients that go, or are slow ----------------------------------------------------------------------

TEST(LargeBody, OfAClientThatDiesLeavesNothingBehind) {
  const Server server("[limits]\nreceive_bytes_max = '1MiB'\n" + debug_pool());
  const std::size_t memfds = server.holdings().memfds;
  for (const bool only_shut : {false, true}) {
    RawClient dying(server);
    dying.greet();
    ASSERT_TRUE(begin_submit(dying, 1, "debug.echo", 900'000));
    ASSERT_TRUE(send_pattern(dying, 500'000));
    EXPECT_TRUE(eventually([&] { return server.holdings().memfds > memfds; }));
    RawClient waiting(server);
    waiting.greet();
    auto sent = std::async(std::launch::async, [&] { return submit_pattern(waiting, 1, 800'000); });
    if (only_shut) {
      ::shutdown(dying.fd(), SHUT_WR);
    } else {
      dying.close();
    }
    EXPECT_TRUE(sent.get());
    EXPECT_EQ(waiting.receive().type, wire::FrameType::kResult) << "it had the memory that the other held";
    EXPECT_TRUE(eventually([&] { return server.holdings().memfds == memfds; }));
  }
}

TEST(LargeBody, ThatNeverComesWholeIsCutOff) {
  const Server server("[limits]\nframe_timeout_ms = 200\n" + debug_pool());
  const std::size_t memfds = server.holdings().memfds;
  RawClient client(server);
  client.greet();
  ASSERT_TRUE(begin_submit(client, 1, "debug.echo", 900'000));
  ASSERT_TRUE(send_pattern(client, 500'000));
  const auto goodbye = client.receive();
  EXPECT_EQ(goodbye.type, wire::FrameType::kGoingAway);
  EXPECT_THAT(goodbye.error().message, HasSubstr("limits.frame_timeout_ms"));
  EXPECT_TRUE(client.receive().closed);
  EXPECT_TRUE(eventually([&] { return server.holdings().memfds == memfds; }));
}

TEST(LargeBody, ThatTricklesIsCutOffAlsoWhenItIsThrownAway) {
  const Server server("[limits]\nframe_timeout_ms = 1000\nframe_bytes_per_s_min = '64MiB'\n" + debug_pool());
  for (const std::string_view kind : {"debug.echo", "debug.nothing"}) {
    RawClient client(server);
    client.greet();
    ASSERT_TRUE(begin_submit(client, 1, kind, 900'000));
    if (kind == "debug.nothing") {
      EXPECT_EQ(client.receive().type, wire::FrameType::kError);
    }
    std::atomic<bool> cut_off = false;
    std::thread trickler([&] {
      while (!cut_off && client.send(ipc::as_bytes("."))) std::this_thread::sleep_for(5ms);
    });
    const auto goodbye = client.receive();
    cut_off = true;
    trickler.join();
    EXPECT_EQ(goodbye.type, wire::FrameType::kGoingAway);
    EXPECT_THAT(goodbye.error().message, HasSubstr("limits.frame_bytes_per_s_min"));
  }
}

// ---- Secrets -------------------------------------------------------------------------------------------

// Whether `needle` is anywhere in the writable memory of `pid`.
bool finds_in_memory(pid_t pid, std::string_view needle) {
  const std::string path = "/proc/" + std::to_string(pid);
  const unique_fd memory(::open((path + "/mem").c_str(), O_RDONLY | O_CLOEXEC));
  EXPECT_TRUE(memory) << "reading another process takes privileges";
  std::ifstream maps(path + "/maps");
  for (std::string line; std::getline(maps, line);) {
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
    char dash = 0;
    std::string access;
    std::istringstream(line) >> std::hex >> begin >> dash >> end >> access;
    if (!access.starts_with("rw")) continue;
    std::string bytes(end - begin, '\0');
    const ssize_t n = ::pread(memory.get(), bytes.data(), bytes.size(), static_cast<off_t>(begin));
    if (n > 0 && std::string_view(bytes).substr(0, static_cast<std::size_t>(n)).find(needle) != std::string::npos) {
      return true;
    }
  }
  return false;
}

TEST(LargeBody, OfASensitiveKindIsNotInTheSupervisorsMemoryAfterwards) {
  if (kSanitized) GTEST_SKIP() << "a sanitizer's memory is terabytes of address space, and keeps what was freed";
  const Server server("[pools.hash]\nmodules = ['hash']\nworkers = 1\n" + debug_pool());
  if (::access(("/proc/" + std::to_string(server.pid()) + "/mem").c_str(), R_OK) != 0) {
    GTEST_SKIP() << "reading another process takes privileges";
  }
  std::string secret;
  while (secret.size() < 300'000) secret += "correct horse battery staple ";
  const wire::Part part{.bytes = secret.size(), .data = ipc::as_bytes(secret)};
  RawClient client(server);
  client.greet();
  ASSERT_TRUE(client.submit(1, "debug.echo", "", {&part, 1}));
  EXPECT_EQ(client.receive().type, wire::FrameType::kResult);
  EXPECT_TRUE(finds_in_memory(server.pid(), "horse battery")) << "of a kind that is not, it is";
  RawClient discreet(server);
  client.close();
  discreet.greet();
  EXPECT_TRUE(eventually([&] { return !finds_in_memory(server.pid(), "horse battery"); }));
  ASSERT_TRUE(discreet.submit(1, "hash.digest", R"({"algorithm":"sha256"})", {&part, 1}));
  const auto answer = discreet.receive();
  EXPECT_EQ(answer.type, wire::FrameType::kResult) << answer.error().message;
  EXPECT_FALSE(finds_in_memory(server.pid(), "horse battery"));
  ASSERT_TRUE(discreet.submit(2, "hash.nothing", "", {&part, 1}));
  EXPECT_EQ(discreet.receive().type, wire::FrameType::kError);
  noop_works(discreet, 3);
  EXPECT_FALSE(finds_in_memory(server.pid(), "horse battery")) << "what is thrown away may be secret too";
}

}  // namespace
}  // namespace quern::test
