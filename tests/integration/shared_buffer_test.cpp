// Shared buffers: who may touch them, who frees them, and what becomes of them when somebody dies.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <future>
#include <numeric>
#include <thread>

#include "tests/integration/raw_client.h"
#include "tests/integration/server.h"

namespace quern::test {
namespace {

using client::Job;
using client::Part;
using client::SharedBuffer;
using ::testing::HasSubstr;

std::string shared_pools() {
  return debug_pool() + "[pools.shared]\nmodules = ['shared']\nworkers = 2\nattempts = 2\n";
}

Job on(const SharedBuffer& buffer, std::string kind, std::string params = "") {
  Job job{.kind = std::move(kind), .params_json = std::move(params)};
  job.options.shared_buffers = {buffer.id()};
  return job;
}

SharedBuffer create(client::Client& client, std::uint64_t bytes, std::string name = {}) {
  auto buffer = client.create_shared({.bytes = bytes, .name = std::move(name)});
  EXPECT_TRUE(buffer) << to_string(buffer.error());
  return std::move(*buffer);
}

boost::json::array listed(const Server& server) {
  const auto document = server.operate(wire::AdminOp::kBuffers, "");
  EXPECT_TRUE(document);
  return boost::json::parse(*document).at("buffers").as_array();
}

// ---- The classic example ---------------------------------------------------------------------------

TEST(SharedBuffers, AJobAddsAndItsClientIsWoken) {
  const Server server(shared_pools());
  client::Client client = server.connect();
  const SharedBuffer buffer = create(client, 64);
  const auto words = buffer.as<std::uint32_t>();
  auto waiting = std::async(std::launch::async, [&] { return words.wait(3, 0, 30s); });
  const auto added = client.run(on(buffer, "shared.add", R"({"index":3,"add":5})"));
  ASSERT_TRUE(added) << to_string(added.error());
  EXPECT_EQ(added->parts[0].text(), "0\n");
  EXPECT_EQ(waiting.get(), WaitResult::kChanged);
  EXPECT_EQ(words[3].load(), 5U);
}

TEST(SharedBuffers, WordsOfEveryTypeAreAddedTo) {
  const Server server(shared_pools());
  client::Client client = server.connect();
  const SharedBuffer buffer = create(client, 64);
  buffer.as<std::int32_t>()[1].store(-7);
  buffer.as<std::uint64_t>()[1].store(1ULL << 40);
  buffer.as<std::int64_t>()[2].store(-(1LL << 40));
  buffer.as<double>()[3].store(0.25);
  const auto add = [&](std::string params) {
    const auto added = client.run(on(buffer, "shared.add", std::move(params)));
    EXPECT_TRUE(added) << to_string(added.error());
    return added ? std::string(added->parts[0].text()) : "";
  };
  EXPECT_EQ(add(R"({"word":"i32","index":1,"add":-1})"), "-7\n");
  EXPECT_EQ(add(R"({"word":"u64","index":1})"), "1099511627776\n");
  EXPECT_EQ(add(R"({"word":"i64","index":2,"add":-2})"), "-1099511627776\n");
  EXPECT_EQ(add(R"({"word":"f64","index":3,"add":0.5})"), "0.25\n");
  EXPECT_EQ(buffer.as<std::int32_t>()[1].load(), -8);
  EXPECT_EQ(buffer.as<std::uint64_t>()[1].load(), (1ULL << 40) + 1);
  EXPECT_EQ(buffer.as<std::int64_t>()[2].load(), -(1LL << 40) - 2);
  EXPECT_EQ(buffer.as<double>()[3].load(), 0.75);
  const auto outside = client.run(on(buffer, "shared.add", R"({"index":16})"));
  ASSERT_FALSE(outside);
  EXPECT_EQ(outside.error().field, "index");
  EXPECT_THAT(outside.error().message, HasSubstr("has 16 such words"));
}

TEST(SharedBuffers, ManyJobsFillOneHistogramWithoutALock) {
  const Server server(shared_pools());
  client::Client client = server.connect();
  constexpr std::size_t kBins = 256;
  const SharedBuffer buffer = create(client, (3 + kBins) * 8);
  std::string bytes(100'000, '\0');
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i * 7);
  constexpr std::size_t kJobs = 40;
  std::vector<client::PendingJob> pending;
  for (std::size_t i = 0; i < kJobs; ++i) {
    Job job = on(buffer, "stats.histogram");
    job.parts = {Part::copy(bytes)};
    pending.push_back(client.submit(std::move(job)));
  }
  for (auto& each : pending) ASSERT_TRUE(each.get());
  const auto words = buffer.as<std::uint64_t>();
  EXPECT_EQ(words[0].load(), kJobs * bytes.size());
  EXPECT_EQ(words[1].load() + words[2].load(), 0U);
  std::vector<std::uint64_t> expected(kBins);
  for (const char byte : bytes) expected[static_cast<unsigned char>(byte)] += kJobs;
  for (std::size_t i = 0; i < kBins; ++i) ASSERT_EQ(words[3 + i].load(), expected[i]) << i;
}

TEST(SharedBuffers, ClientAndWorkerPlayPingPong) {
  const Server server(shared_pools());
  client::Client client = server.connect();
  const SharedBuffer buffer = create(client, 64);
  const auto words = buffer.as<std::uint32_t>();
  constexpr std::uint32_t kRounds = 1000;
  auto player = client.submit(on(buffer, "debug.pong", R"({"rounds":1000})"));
  for (std::uint32_t round = 1; round <= kRounds; ++round) {
    words[0].store(round);
    words.notify_one(0);
    ASSERT_EQ(words.wait(1, round - 1, 30s), WaitResult::kChanged);
    ASSERT_EQ(words[1].load(), round);
  }
  EXPECT_TRUE(player.get());
}

// ---- Who may have it -------------------------------------------------------------------------------

TEST(SharedBuffers, AreAttachedByNameAndFreedWithTheirLastOwner) {
  const Server server(shared_pools());
  client::Client first = server.connect();
  client::Client second = server.connect();
  std::optional<SharedBuffer> mine = create(first, 4096, "counters");
  auto theirs = second.attach_shared("counters");
  ASSERT_TRUE(theirs) << to_string(theirs.error());
  EXPECT_EQ(theirs->size(), 4096U);
  mine->as<std::uint64_t>()[0].store(42);
  EXPECT_EQ(theirs->as<std::uint64_t>()[0].load(), 42U);
  ASSERT_EQ(listed(server).size(), 1U);
  EXPECT_EQ(listed(server)[0].at("clients").to_number<int>(), 2);
  EXPECT_EQ(listed(server)[0].at("name").as_string(), "counters");
  mine.reset();
  EXPECT_TRUE(eventually([&] { return listed(server).at(0).at("clients").to_number<int>() == 1; }));
  EXPECT_TRUE(second.run(on(*theirs, "shared.add")));
  EXPECT_FALSE(first.run(on(*theirs, "shared.add"))) << "that connection let go of it";
  { const SharedBuffer gone = std::move(*theirs); }
  EXPECT_TRUE(eventually([&] { return listed(server).empty(); }));
  const auto nothing = second.attach_shared("counters");
  ASSERT_FALSE(nothing);
  EXPECT_EQ(nothing.error().code, ErrorCode::kNotFound);
}

TEST(SharedBuffers, AttachedTwiceAreReleasedTwice) {
  const Server server(shared_pools());
  client::Client client = server.connect();
  const SharedBuffer first = create(client, 64, "twice");
  {
    const auto again = client.attach_shared("twice");
    ASSERT_TRUE(again);
    EXPECT_EQ(again->id(), first.id());
  }
  ASSERT_TRUE(client.ping());  // behind the release
  EXPECT_TRUE(client.run(on(first, "shared.add")));
}

TEST(SharedBuffers, OfAConnectionThatBrokeAreFreedWhenTheLastJobIsDone) {
  const Server server(shared_pools());
  auto client = std::make_unique<client::Client>(client::ClientOptions{.socket_path = server.socket_path()});
  std::optional<SharedBuffer> buffer = create(*client, 4096, "left");
  auto waiting = client->submit(on(*buffer, "debug.wait", R"({"ms":60000})"));
  (void)server.busy_worker();
  EXPECT_TRUE(eventually([&] { return listed(server).at(0).at("jobs").to_number<int>() == 1; }));
  buffer.reset();
  client.reset();  // its job is cancelled, and sees it while it waits for a word
  EXPECT_TRUE(eventually([&] { return listed(server).empty(); }));
  EXPECT_EQ(server.deaths("client_gone"), 0U) << "the wait ended when it was asked to";
}

TEST(SharedBuffers, AreForTheirKindsOnly) {
  const Server server(shared_pools());
  client::Client client = server.connect();
  const SharedBuffer buffer = create(client, 64);
  const auto refused = [&](Job job, ErrorCode code, std::string_view because) {
    const auto result = client.run(std::move(job));
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, code);
    EXPECT_EQ(result.error().field, "shared_buffers");
    EXPECT_THAT(result.error().message, HasSubstr(std::string(because)));
  };
  refused(on(buffer, "debug.noop"), ErrorCode::kInvalidArgument, "takes no shared buffer");
  refused({.kind = "shared.add"}, ErrorCode::kInvalidArgument, "takes 1 to 1 shared buffers");
  Job other{.kind = "shared.add"};
  other.options.shared_buffers = {buffer.id() + 1};
  refused(std::move(other), ErrorCode::kNotFound, "holds no shared buffer");
}

// In a process of its own: the first check that fails is its exit code.
int attach_as_a_stranger(const std::string& socket_path) {
  const gid_t supplementary[] = {4242};
  if (::setgroups(1, supplementary) != 0 || ::setgid(65534) != 0 || ::setuid(65534) != 0) return 10;
  client::Client stranger({.socket_path = socket_path});
  const auto refused = stranger.attach_shared("mine");
  if (refused || refused.error().code != ErrorCode::kNotFound) return 11;
  if (!stranger.attach_shared("all")) return 12;
  return stranger.attach_shared("group") ? 0 : 13;
}

TEST(SharedBuffers, OfOtherUsersCantBeAttached) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root, to be another user";
  const Server server("[server]\nsocket_mode = '0666'\n" + shared_pools());
  ASSERT_EQ(::chmod(server.directory().c_str(), 0755), 0);
  int go[2];
  ASSERT_EQ(::pipe2(go, O_CLOEXEC), 0);
  const pid_t child = ::fork();  // before this process has threads
  ASSERT_GE(child, 0);
  if (child == 0) {
    char byte = 0;
    ::_exit(::read(go[0], &byte, 1) == 1 ? attach_as_a_stranger(server.socket_path()) : 14);
  }
  client::Client client = server.connect();
  const SharedBuffer mine = create(client, 64, "mine");
  const auto everyones = client.create_shared({.bytes = 64, .name = "all", .access = wire::BufferAccess::kEveryone});
  const auto groups =
      client.create_shared({.bytes = 64, .name = "group", .access = wire::BufferAccess::kGroup, .gid = 4242});
  EXPECT_TRUE(everyones && groups);
  EXPECT_EQ(::write(go[1], "g", 1), 1);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(WEXITSTATUS(status), 0);
  ::close(go[0]);
  ::close(go[1]);
}

TEST(SharedBuffers, AreBounded) {
  const Server server(
      "[limits]\nshared_bytes_max = '3MiB'\nshared_bytes_per_uid_max = '2MiB'\nclient_buffers_max = 2\n" +
      shared_pools());
  client::Client client = server.connect();
  const SharedBuffer first = create(client, 1U << 20, "one");
  const auto large = client.create_shared({.bytes = 2U << 20});
  ASSERT_FALSE(large);
  EXPECT_EQ(large.error().code, ErrorCode::kTooLarge);
  EXPECT_THAT(large.error().message, HasSubstr("limits.shared_bytes_per_uid_max"));
  const auto taken = client.create_shared({.bytes = 64, .name = "one"});
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().field, "name");
  EXPECT_EQ(client.create_shared({.bytes = 64, .name = "a/b"}).error().field, "name");
  EXPECT_EQ(client.create_shared({.bytes = 0}).error().field, "bytes");
  const SharedBuffer second = create(client, 64);
  const auto third = client.create_shared({.bytes = 64});
  ASSERT_FALSE(third);
  EXPECT_THAT(third.error().message, HasSubstr("limits.client_buffers_max"));
}

TEST(SharedBuffers, ThatCouldShrinkAreRefused) {
  const Server server(shared_pools());
  RawClient client(server);
  client.greet();
  const auto create_from = [&](int fd) {
    wire::Buffer out;
    wire::FrameBuilder frame(out, wire::FrameType::kBuffer, 1, 1);
    wire::encode_buffer_request(frame.body(), {.op = wire::BufferOp::kCreate});
    frame.finish();
    const int fds[] = {fd};
    client.send(out, fds);
    return client.receive().error();
  };
  const auto unsealed = ipc::create_memfd("test", 4096);
  const auto read_only = ipc::memfd_from("test", ipc::as_bytes("sealed against writing"));
  const unique_fd file(::open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  ASSERT_TRUE(unsealed && read_only);
  for (const int fd : {unsealed->get(), read_only->get(), file.get(), client.fd()}) {
    const Error refused = create_from(fd);
    EXPECT_EQ(refused.code, ErrorCode::kInvalidArgument);
    EXPECT_EQ(refused.field, "buffer");
  }
}

// ---- Deaths ----------------------------------------------------------------------------------------

TEST(SharedBuffers, AWorkerKilledBetweenAddAndNotifyDelaysNobodyForLong) {
  const Server server(shared_pools());
  client::Client client = server.connect();
  const SharedBuffer buffer = create(client, 64);
  const auto words = buffer.as<std::uint32_t>();
  auto waiting = std::async(std::launch::async, [&] { return words.wait(0, 0, 60s); });
  const auto died = client.run(on(buffer, "debug.add_and_die"));
  ASSERT_FALSE(died);
  EXPECT_EQ(died.error().code, ErrorCode::kWorkerCrashed);
  ASSERT_EQ(waiting.wait_for(30s), std::future_status::ready) << "nobody has notified it";
  EXPECT_EQ(waiting.get(), WaitResult::kChanged);
  EXPECT_EQ(words[0].load(), 1U) << "added once: such a job is not tried again by itself";
  Job twice = on(buffer, "debug.add_and_die");
  twice.options.attempts = 3;
  ASSERT_FALSE(client.run(std::move(twice)));
  EXPECT_EQ(words[0].load(), 4U) << "unless its client says so";
}

TEST(SharedBuffers, AClientKilledInAWaitLeavesNothing) {
  const Server server(shared_pools());
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    client::Client client({.socket_path = server.socket_path()});
    const SharedBuffer buffer = create(client, 64, "childs");
    auto pending = client.submit(on(buffer, "debug.wait", R"({"ms":60000})"));
    (void)buffer.as<std::uint32_t>().wait(0, 0, 1h);
    ::_exit(1);
  }
  EXPECT_TRUE(eventually([&] {
    const auto buffers = listed(server);
    return buffers.size() == 1 && buffers[0].at("jobs").to_number<int>() == 1;
  }));
  ASSERT_EQ(::kill(child, SIGKILL), 0);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(eventually([&] { return listed(server).empty(); }));
}

TEST(SharedBuffers, AWaitEndsInTimeAndWhenItsJobIsCancelled) {
  const Server server(shared_pools());
  client::Client client = server.connect();
  const SharedBuffer buffer = create(client, 64);
  const auto late = client.run(on(buffer, "debug.wait", R"({"ms":50})"));
  ASSERT_TRUE(late);
  EXPECT_EQ(late->parts[0].text(), "timed out\n");
  auto waiting = client.submit(on(buffer, "debug.wait", R"({"ms":60000})"));
  (void)server.busy_worker();
  waiting.cancel();
  const auto cancelled = waiting.get();
  ASSERT_FALSE(cancelled);
  EXPECT_EQ(cancelled.error().code, ErrorCode::kCancelled);
  EXPECT_EQ(server.pool("debug").at("deaths").as_object().size(), 0U);
}

TEST(SharedBuffers, AreGivenToAJobByName) {
  const Server server(shared_pools());
  client::Client client = server.connect();
  const SharedBuffer buffer = create(client, 64, "counters");
  const Ended added = quern(server, {"run", "shared.add", "--index", "2", "--add", "7", "--shared", "counters"});
  EXPECT_EQ(added.exit_code, 0) << added.err;
  EXPECT_EQ(added.out, "0\n");
  EXPECT_EQ(buffer.as<std::uint32_t>()[2].load(), 7U);
  EXPECT_EQ(quern(server, {"run", "--shared=nobody", "shared.add"}).exit_code, 2) << "there is none";
}

}  // namespace
}  // namespace quern::test
