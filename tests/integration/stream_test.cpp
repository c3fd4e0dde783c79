// Results that reach their client while they are made: whole and in order, no faster than it reads, and with one
// end whatever becomes of the worker, the job or the client.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <atomic>
#include <fstream>
#include <future>
#include <string>
#include <vector>

#include "common/sanitizer.h"
#include "tests/integration/raw_client.h"
#include "tests/integration/server.h"

namespace quern::test {
namespace {

using client::Part;
using ::testing::HasSubstr;

// The bytes that debug.produce makes.
bool is_produced(std::string_view bytes, std::uint64_t from = 0) {
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (static_cast<unsigned char>(bytes[i]) != (from + i) % 251) return false;
  }
  return true;
}

std::string produce(std::uint64_t bytes, std::string_view more = "") {
  return "{\"bytes\":" + std::to_string(bytes) + std::string(more) + "}";
}

struct Streamed {
  std::string bytes;
  std::size_t pieces = 0;
  Result<client::JobResult> result = Error{};
};

Streamed stream(client::Client& client, client::Job job) {
  Streamed streamed;
  job.on_bytes = [&](std::span<const std::byte> piece) {
    streamed.bytes += ipc::as_text(piece);
    ++streamed.pieces;
  };
  streamed.result = client.run(std::move(job));
  return streamed;
}

bool submit_stream(RawClient& client, std::uint64_t id, std::string_view kind, std::string_view params,
                   wire::JobOptions options = {}) {
  options.stream = true;
  wire::Buffer out;
  wire::FrameBuilder frame(out, wire::FrameType::kSubmit, id);
  wire::encode_submit_head(frame.body(), kind, options);
  wire::encode_job_body(frame.body(), params, {});
  frame.finish();
  return client.send(out);
}

// The bytes of the result of job `id`, until its answer.
struct RawStream {
  std::string bytes;
  RawClient::Frame answer;
};
RawStream receive_stream(RawClient& client, std::uint64_t id) {
  RawStream stream;
  for (;;) {
    stream.answer = client.receive();
    if (stream.answer.closed || stream.answer.type != wire::FrameType::kChunk) return stream;
    EXPECT_EQ(stream.answer.id, id);
    stream.bytes += stream.answer.body;
  }
}

std::uint64_t memory_of(const Server& server, std::string_view what) {
  std::ifstream status("/proc/" + std::to_string(server.pid()) + "/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(what)) return std::stoull(line.substr(what.size() + 1)) * 1024;
  }
  return UINT64_MAX;
}

// Bytes of answers that the server holds for the client with the most of them.
std::uint64_t most_unread(const Server& server) {
  std::uint64_t bytes = 0;
  const auto status = server.status();
  for (const auto& each : status.at("connections").as_array()) {
    bytes = std::max(bytes, each.at("unread_bytes").to_number<std::uint64_t>());
  }
  return bytes;
}

TEST(Stream, BringsAWholeResult) {
  const Server server;
  client::Client client = server.connect();
  for (const std::uint64_t bytes : {0U, 1U, 16U << 10, 1'000'000U, 50'000'000U}) {
    const Streamed streamed = stream(client, {.kind = "debug.produce", .params_json = produce(bytes)});
    ASSERT_TRUE(streamed.result) << to_string(streamed.result.error());
    ASSERT_EQ(streamed.result->parts.size(), 1U);
    EXPECT_EQ(streamed.result->parts[0].elsewhere_bytes(), bytes);
    EXPECT_EQ(streamed.bytes.size(), bytes);
    EXPECT_TRUE(is_produced(streamed.bytes));
  }
}

TEST(Stream, ComesWhileTheJobRuns) {
  const Server server;
  client::Client client = server.connect();
  std::promise<std::string> first;
  std::atomic<bool> came = false;
  auto pending = client.submit({.kind = "debug.produce",
                                .params_json = produce(5, R"(,"piece_bytes":5,"then":"wait")"),
                                .on_bytes = [&](std::span<const std::byte> piece) {
                                  if (!came.exchange(true)) first.set_value(std::string(ipc::as_text(piece)));
                                }});
  auto bytes = first.get_future();
  ASSERT_EQ(bytes.wait_for(30s), std::future_status::ready);
  EXPECT_TRUE(is_produced(bytes.get()));
  EXPECT_EQ(pending.wait_for(0s), std::future_status::timeout) << "the job still runs";
  pending.cancel();
  EXPECT_EQ(pending.get().error().code, ErrorCode::kCancelled);
}

TEST(Stream, OfAnyKindAndInManyJobsAtOnce) {
  const Server server;
  client::Client client = server.connect();
  const std::string text(3'000'000, 'q');
  std::vector<std::string> bytes(20);
  std::vector<client::PendingJob> jobs;
  for (std::string& into : bytes) {
    jobs.push_back(client.submit({.kind = "debug.echo", .parts = {Part::copy(text)}, .on_bytes = [&](auto piece) {
                                    into += ipc::as_text(piece);
                                  }}));
  }
  for (auto& job : jobs) {
    const auto result = job.get();
    EXPECT_TRUE(result) << to_string(result.error());
  }
  for (const std::string& each : bytes) EXPECT_TRUE(each == text);
}

TEST(Stream, OfASecretKind) {
  const Server server("[pools.hash]\nmodules = ['hash']\nworkers = 1\n");
  client::Client client = server.connect();
  const auto streamed = stream(client, {.kind = "hash.digest", .parts = {Part::copy("corn")}});
  ASSERT_TRUE(streamed.result) << to_string(streamed.result.error());
  const auto plain = client.run({.kind = "hash.digest", .parts = {Part::copy("corn")}});
  EXPECT_EQ(streamed.bytes, plain->parts.at(0).text());
}

// A reader that stops makes its own job wait, and nobody else; what it does not read is not kept by the server.
TEST(Stream, WaitsForItsReader) {
  const Server server(debug_pool());
  constexpr std::uint64_t kBytes = 200'000'000;
  client::Client other = server.connect();
  ASSERT_TRUE(other.run({.kind = "debug.noop"}));
  const std::uint64_t before = memory_of(server, "VmHWM:");
  RawClient reader(server);
  reader.greet();
  ASSERT_TRUE(submit_stream(reader, 1, "debug.produce", produce(kBytes)));
  (void)server.busy_worker();
  EXPECT_TRUE(eventually([&] { return most_unread(server) >= 4'000'000; }));
  for (int i = 0; i < 50; ++i) EXPECT_TRUE(other.run({.kind = "debug.noop"})) << "on the other worker";
  const RawStream stream = receive_stream(reader, 1);
  EXPECT_EQ(stream.answer.type, wire::FrameType::kResult);
  EXPECT_EQ(stream.bytes.size(), kBytes);
  EXPECT_TRUE(is_produced(stream.bytes));
  EXPECT_TRUE(kSanitized || memory_of(server, "VmHWM:") < before + (20U << 20)) << "what nobody reads is not kept";
}

// Others have used up the memory for answers: a stream goes on for who reads it, a little at a time.
TEST(Stream, GoesOnWhenMemoryIsScarce) {
  const Server server("[limits]\nanswers_bytes_max = '1MiB'\n" + debug_pool());
  RawClient lazy(server);
  lazy.greet();
  ASSERT_TRUE(submit_stream(lazy, 1, "debug.produce", produce(50'000'000)));
  client::Client client = server.connect();
  const auto streamed = stream(client, {.kind = "debug.produce", .params_json = produce(5'000'000)});
  ASSERT_TRUE(streamed.result) << to_string(streamed.result.error());
  EXPECT_EQ(streamed.bytes.size(), 5'000'000U);
  EXPECT_TRUE(is_produced(streamed.bytes));
  EXPECT_LT(most_unread(server), 2U << 20) << "beyond the limit, no more than what was on its way";
  EXPECT_EQ(receive_stream(lazy, 1).bytes.size(), 50'000'000U);
}

TEST(Stream, ThatNobodyReadsEndsWithItsClient) {
  const Server server("[limits]\nwrite_timeout_ms = 200\n" + debug_pool());
  RawClient reader(server);
  reader.greet();
  ASSERT_TRUE(submit_stream(reader, 1, "debug.produce", produce(200'000'000)));
  const auto clients = [&] { return server.status().at("clients").to_number<int>(); };
  EXPECT_TRUE(eventually([&] { return clients() == 1; })) << "only we who ask";
  const auto idle = [&] { return server.pool().at("running").to_number<int>() == 0; };
  EXPECT_TRUE(eventually(idle)) << "the worker is free again";
  EXPECT_EQ(server.pool().at("deaths").as_object().size(), 0U) << "and well: it was asked to stop";
  client::Client client = server.connect();
  EXPECT_EQ(stream(client, {.kind = "debug.produce", .params_json = produce(1'000'000)}).bytes.size(), 1'000'000U);
}

TEST(Stream, ThatWaitsForItsReaderCanBeCancelledAndTimesOut) {
  const Server server(debug_pool());
  RawClient reader(server);
  reader.greet();
  ASSERT_TRUE(submit_stream(reader, 1, "debug.produce", produce(200'000'000), {.run_timeout_ms = 2000}));
  ASSERT_TRUE(submit_stream(reader, 2, "debug.produce", produce(200'000'000)));
  EXPECT_TRUE(eventually([&] { return server.pool().at("running").to_number<int>() == 2; }));
  EXPECT_TRUE(eventually([&] { return server.pool().at("running").to_number<int>() == 1; })) << "timed out";
  wire::Buffer cancel;
  wire::FrameBuilder(cancel, wire::FrameType::kCancel, 2).finish();
  reader.send(cancel);
  EXPECT_TRUE(eventually([&] { return server.pool().at("running").to_number<int>() == 0; })) << "cancelled";
  std::vector<ErrorCode> ends;
  while (ends.size() < 2) {
    const auto frame = reader.receive();
    ASSERT_FALSE(frame.closed);
    if (frame.type == wire::FrameType::kError) ends.push_back(frame.error().code);
  }
  EXPECT_THAT(ends, testing::ElementsAre(ErrorCode::kTimeout, ErrorCode::kCancelled));
  EXPECT_EQ(server.pool().at("deaths").as_object().size(), 0U) << "both stopped when they were asked to";
}

TEST(Stream, IsNotBegunAgainOnceSomeOfItWasDelivered) {
  const Server server;
  client::Client client = server.connect();
  std::promise<void> came;
  std::size_t bytes = 0;
  client::Job job{.kind = "debug.produce", .params_json = produce(100, R"(,"then":"wait")")};
  job.options.attempts = 3;
  job.on_bytes = [&](std::span<const std::byte> piece) {
    bytes += piece.size();
    came.set_value();
  };
  auto pending = client.submit(std::move(job));
  ASSERT_EQ(came.get_future().wait_for(30s), std::future_status::ready);
  ASSERT_EQ(::kill(server.busy_worker(), SIGKILL), 0);
  const auto result = pending.get();
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kWorkerCrashed);
  EXPECT_THAT(result.error().message, HasSubstr("100 bytes of its result were on their way"));
  EXPECT_EQ(bytes, 100U);
}

TEST(Stream, IsTriedAgainWhenNothingOfItWasDelivered) {
  const Server server;
  client::Client client = server.connect();
  const auto streamed =
      stream(client, {.kind = "debug.crash", .params_json = R"({"until_attempt":2})", .options = {.attempts = 3}});
  ASSERT_TRUE(streamed.result) << to_string(streamed.result.error());
  EXPECT_EQ(streamed.bytes, "survived attempt 2\n");
  EXPECT_EQ(streamed.result->info.attempts, 2U);
}

TEST(Stream, EndsWithTheErrorOfItsJob) {
  const Server server;
  client::Client client = server.connect();
  const auto streamed = stream(client, {.kind = "debug.produce", .params_json = produce(70'000, R"(,"then":"fail")")});
  ASSERT_FALSE(streamed.result);
  EXPECT_EQ(streamed.result.error().code, ErrorCode::kBadInput);
  EXPECT_EQ(streamed.bytes.size(), 70'000U) << "what was made before it failed";
}

TEST(Stream, IsEitherThatOrAFile) {
  const Server server;
  client::Client client = server.connect();
  auto file = std::make_shared<unique_fd>(::fileno(::tmpfile()));
  const auto result = client.run({.kind = "debug.noop", .on_bytes = [](auto) {}, .output_file = std::move(file)});
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(result.error().field, "stream");
}

TEST(Stream, KeepsTheLimitOfResults) {
  const Server server(debug_pool("result_bytes_max = '1MiB'\n"));
  client::Client client = server.connect();
  const auto streamed = stream(client, {.kind = "debug.produce", .params_json = produce(2 << 20)});
  ASSERT_FALSE(streamed.result);
  EXPECT_EQ(streamed.result.error().code, ErrorCode::kTooLarge);
  EXPECT_LE(streamed.bytes.size(), 1U << 20);
}

// Killed at any moment of a stream: one answer, right bytes as far as they came, and the next job finds all in order.
TEST(Stream, SurvivesItsWorkersDeathAtAnyMoment) {
  const Server server;
  client::Client client = server.connect();
  for (int round = 0; round < 10; ++round) {
    // more than is made before the kill; and another job: none is in quarantine
    const auto bytes_in_all = static_cast<std::uint64_t>(200'000'000 + round);
    std::string bytes;
    std::promise<void> came;
    std::size_t awaited = static_cast<std::size_t>(round) * 1'500'000;
    client::Job job{.kind = "debug.produce", .params_json = produce(bytes_in_all, R"(,"piece_bytes":500000,"ms":5)")};
    job.options.attempts = 3;
    job.on_bytes = [&](std::span<const std::byte> piece) {
      bytes += ipc::as_text(piece);
      if (bytes.size() <= awaited) return;
      awaited = SIZE_MAX;
      came.set_value();
    };
    auto pending = client.submit(std::move(job));
    ASSERT_EQ(came.get_future().wait_for(30s), std::future_status::ready);
    ASSERT_EQ(::kill(server.busy_worker(), SIGKILL), 0);
    const auto result = pending.get();
    EXPECT_TRUE(result || result.error().code == ErrorCode::kWorkerCrashed) << to_string(result.error());
    EXPECT_TRUE(is_produced(bytes));
    EXPECT_TRUE(!result || bytes.size() == bytes_in_all);
    EXPECT_TRUE(client.run({.kind = "debug.noop"}));
  }
}

// ---- quern run --stream ------------------------------------------------------------------------------

TEST(StreamCommand, WritesToStandardOutput) {
  const Server server;
  const Ended ended = quern(server, {"run", "--stream", "debug.produce", "--bytes", "3000000"});
  EXPECT_EQ(ended.exit_code, 0) << ended.err;
  EXPECT_EQ(ended.out.size(), 3'000'000U);
  EXPECT_TRUE(is_produced(ended.out));
}

TEST(StreamCommand, LeavesTheBeginningOfWhatFailed) {
  const Server server;
  const Ended ended = quern(server, {"run", "--stream", "debug.produce", "--bytes", "1000", "--then", "fail"});
  EXPECT_EQ(ended.exit_code, 3);
  EXPECT_EQ(ended.out.size(), 1000U);
  EXPECT_THAT(ended.err, HasSubstr("asked to fail after its result"));
}

TEST(StreamCommand, HasNoFile) {
  const Server server;
  const Ended ended = quern(server, {"run", "--stream", "debug.noop", "-o", "file"});
  EXPECT_EQ(ended.exit_code, 2);
  EXPECT_THAT(ended.err, HasSubstr("--stream writes to standard output"));
}

TEST(StreamCommand, EndsWithItsReaderAndSoDoesItsJob) {
  const Server server;
  const Ended ended = run({"/bin/sh", "-c",
                           std::string(QUERN) + " --runtime-dir " + server.directory() +
                               " run --stream debug.produce --bytes 1000000000000 --piece-bytes 1000 | head -c 5"});
  EXPECT_EQ(ended.out.size(), 5U);
  EXPECT_TRUE(eventually([&] { return server.pool().at("running").to_number<int>() == 0; }));
}

TEST(StreamCommand, SaysWhyItCannotWrite) {
  const Server server;
  const Ended ended = run({"/bin/sh", "-c",
                           std::string(QUERN) + " --runtime-dir " + server.directory() +
                               " run --stream debug.produce --bytes 1000000000000 > /dev/full"});
  EXPECT_NE(ended.exit_code, 0);
  EXPECT_THAT(ended.err, HasSubstr("standard output"));
  EXPECT_THAT(ended.err, HasSubstr("No space left"));
}

}  // namespace
}  // namespace quern::test
