// Jobs from submit to answer: through the library, through the command, with good and bad input.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>
#include <fstream>
#include <thread>

#include "tests/integration/server.h"

namespace quern::test {
namespace {

using client::Job;
using client::Part;
using ::testing::HasSubstr;

std::string pattern(std::size_t bytes) {
  std::string text(bytes, '\0');
  for (std::size_t i = 0; i < bytes; ++i) text[i] = static_cast<char>(i * 31 % 251);
  return text;
}

TEST(Jobs, EchoReturnsEverySizeAndEveryPart) {
  const Server server;
  client::Client client = server.connect();
  for (const std::size_t bytes : {0UL, 1UL, 100UL, 32'768UL, 33'000UL, 65'536UL, 65'537UL, 1'000'000UL, 40'000'000UL}) {
    const std::string sent = pattern(bytes);
    const auto result = client.run({.kind = "debug.echo", .parts = {Part::copy(sent, "data")}});
    ASSERT_TRUE(result) << bytes << ": " << to_string(result.error());
    ASSERT_EQ(result->parts.size(), 1U);
    EXPECT_EQ(result->parts[0].name(), "data");
    EXPECT_TRUE(result->parts[0].text() == sent) << bytes;
  }
  Job many{.kind = "debug.echo"};
  for (int i = 0; i < 40; ++i)
    many.parts.push_back(Part::copy(pattern(static_cast<std::size_t>(i) * 5000), "p" + std::to_string(i)));
  const auto result = client.run(many);
  ASSERT_TRUE(result) << to_string(result.error());
  ASSERT_EQ(result->parts.size(), 40U);
  for (int i = 0; i < 40; ++i)
    EXPECT_TRUE(result->parts[static_cast<std::size_t>(i)].text() == pattern(static_cast<std::size_t>(i) * 5000)) << i;
}

TEST(Jobs, ManyAtOnceAreAllAnsweredWithTheirOwnBytes) {
  const Server server;
  client::Client client = server.connect();
  constexpr int kJobs = 20'000;
  std::atomic<int> right{0};
  std::atomic<int> answered{0};
  for (int i = 0; i < kJobs; ++i) {
    client.submit({.kind = "debug.echo", .parts = {Part::copy(std::to_string(i))}},
                  [&, i](Result<client::JobResult> result) {
                    if (result && result->parts[0].text() == std::to_string(i)) ++right;
                    ++answered;
                  });
  }
  EXPECT_TRUE(eventually([&] { return answered == kJobs; }, 60s));
  EXPECT_EQ(right, kJobs);
}

TEST(Jobs, ACoroutineAwaitsItsResult) {
  const Server server;
  client::Client client = server.connect();
  boost::asio::io_context io;
  auto text = boost::asio::co_spawn(
      io,
      [&]() -> boost::asio::awaitable<std::string> {
        Job job;
        job.kind = "debug.echo";
        job.parts.push_back(Part::copy("grain"));
        const auto result = co_await client.async_run(std::move(job), boost::asio::use_awaitable);
        co_return result ? std::string(result->parts[0].text()) : to_string(result.error());
      },
      boost::asio::use_future);
  auto work = boost::asio::make_work_guard(io);
  std::jthread runner([&] { io.run(); });
  EXPECT_EQ(text.get(), "grain");
  work.reset();
}

TEST(Jobs, ProgressReachesAClientThatAsked) {
  const Server server;
  client::Client client = server.connect();
  std::atomic<std::uint64_t> last{0};
  const auto result = client.run({.kind = "debug.progress",
                                  .params_json = R"({"steps":8,"ms":60,"message":"kneading"})",
                                  .on_progress = [&](const wire::Progress& p) {
                                    last = p.done;
                                    EXPECT_EQ(p.total, 8U);
                                    EXPECT_EQ(p.message, "kneading");
                                  }});
  ASSERT_TRUE(result);
  EXPECT_GE(last.load(), 1U);
}

TEST(Jobs, WrongParametersAreNamed) {
  const Server server;
  client::Client client = server.connect();
  const auto error = [&](std::string kind, std::string params) {
    return client.run({.kind = std::move(kind), .params_json = std::move(params)}).error();
  };
  EXPECT_EQ(error("no.such", "").field, "kind");
  EXPECT_EQ(error("debug.sleep", R"({"sm":1})").field, "sm");
  EXPECT_EQ(error("debug.sleep", R"({"ms":"x"})").field, "ms");
  EXPECT_EQ(error("debug.sleep", R"({"ms":-1})").field, "ms");
  EXPECT_EQ(error("debug.sleep", R"({"ms":)").field, "params");
  EXPECT_EQ(error("debug.allocate", "{}").field, "bytes");
  for (const char* params : {R"({"ms":-1})", "[]", "nonsense"})
    EXPECT_EQ(error("debug.sleep", params).code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(server.pool().at("deaths").as_object().size(), 0U) << "no worker died of it";
}

TEST(Jobs, WrongJobOptionsAreNamed) {
  const Server server;
  client::Client client = server.connect();
  EXPECT_EQ(client.run({.kind = "debug.noop", .options = {.attempts = 0}}).error().field, "attempts");
  EXPECT_EQ(client.run({.kind = "debug.noop", .options = {.priority = 10}}).error().field, "priority");
  EXPECT_EQ(client.run({.kind = "debug.noop", .options = {.run_timeout_ms = 0}}).error().field, "run_timeout_ms");
}

TEST(Jobs, AResultAboveThePoolsLimitIsRefused) {
  const Server server(debug_pool("result_bytes_max = '1MiB'\n"));
  client::Client client = server.connect();
  EXPECT_EQ(client.run({.kind = "debug.produce", .params_json = R"({"bytes":1048577})"}).error().code,
            ErrorCode::kTooLarge);
  EXPECT_TRUE(client.run({.kind = "debug.produce", .params_json = R"({"bytes":1048576})"}));
}

// ---- The command -------------------------------------------------------------------------------------

constexpr const char* kDefaultPools =
    "[pools.hash]\nmodules = ['hash']\nworkers = 2\n[pools.image]\nmodules = ['image']\nworkers = 2\n";

TEST(Command, HashesAPasswordFromStandardInput) {
  const Server server(kDefaultPools);
  const auto hashed = quern(
      server, {"run", "hash.scrypt", "--salt", "NaCl", "--N", "1024", "--p", "16", "--encoding", "hex"}, "password");
  EXPECT_EQ(hashed.exit_code, 0) << hashed.err;
  EXPECT_EQ(hashed.out,
            "fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b3731622eaf30d92e22a3886ff109279d9830dac727afb94a"
            "83ee6d8360cbdfa2cc0640")
      << "RFC 7914, section 12";
  const auto stored =
      quern(server, {"run", "hash.argon2id", "--memory-kib", "64", "--time", "1", "--parallelism", "1"}, "password");
  EXPECT_EQ(quern(server, {"run", "hash.verify", "--hash", stored.out}, "password").out, "true");
  EXPECT_EQ(quern(server, {"run", "hash.verify", "--hash", stored.out}, "Password").out, "false");
}

TEST(Command, EchoesFilesAndReplacesItsOutputOnlyOnSuccess) {
  const Server server;
  const std::string path = server.directory() + "/in";
  const std::string out = server.directory() + "/out";
  std::ofstream(path) << pattern(200'000);
  EXPECT_EQ(quern(server, {"run", "debug.echo", path, "-o", out}).exit_code, 0);
  std::stringstream written;
  written << std::ifstream(out).rdbuf();
  EXPECT_TRUE(written.str() == pattern(200'000));
  EXPECT_EQ(quern(server, {"run", "debug.fail", "-o", out}).exit_code, 3);
  struct stat info {};
  ASSERT_EQ(::stat(out.c_str(), &info), 0);
  EXPECT_EQ(info.st_size, 200'000) << "a failed job leaves what was there";
}

TEST(Command, ExitCodesSayWhatHappened) {
  const Server server;
  EXPECT_EQ(quern(server, {"run", "debug.nosuch"}).exit_code, 2);
  EXPECT_EQ(quern(server, {"run", "debug.sleep", "--ms", "x"}).exit_code, 2);
  EXPECT_EQ(quern(server, {"run", "debug.fail"}).exit_code, 3);
  EXPECT_EQ(run({QUERN, "--runtime-dir", "/nonexistent", "ping"}).exit_code, 4);
  EXPECT_EQ(quern(server, {"run", "debug.sleep", "--ms", "9000", "--run-timeout-ms", "50"}).exit_code, 6);
  EXPECT_EQ(quern(server, {"run", "debug.crash"}).exit_code, 7);
  EXPECT_EQ(quern(server, {"drain", "debug"}).exit_code, 0);
  EXPECT_EQ(quern(server, {"run", "debug.noop"}).exit_code, 5);
  EXPECT_EQ(quern(server, {"resize", "nosuch", "2"}).exit_code, 2);
  EXPECT_EQ(quern(server, {"resize", "debug", "0"}).exit_code, 2);
}

TEST(Command, ErrorsNameTheFieldAndTheFix) {
  const Server server;
  EXPECT_THAT(quern(server, {"run", "debug.sleep", "--ms", "-5"}).err,
              HasSubstr("ms must be a whole number between 0 and"));
  EXPECT_THAT(quern(server, {"run", "debug.sleep", "--sm", "5"}).err, HasSubstr("did you mean '--ms'?"));
  EXPECT_THAT(quern(server, {"run", "debug.sleep", "--colour", "5"}).err, HasSubstr("quern run debug.sleep --help"));
}

TEST(Command, ListsKindsWithTheirParameters) {
  const Server server;
  EXPECT_THAT(quern(server, {"kinds"}).out, HasSubstr("--until_attempt"));
  EXPECT_THAT(quern(server, {"kinds", "--json"}).out, HasSubstr("\"pool\":\"debug\""));
  EXPECT_THAT(quern(server, {"status"}).out, HasSubstr("debug"));
  EXPECT_THAT(quern(server, {"completion", "bash"}).out, HasSubstr("complete -o default"));
}

TEST(Pictures, GarbageIsTheJobsErrorAndNeverTheWorkersDeath) {
  const Server server(kDefaultPools);
  client::Client client = server.connect();
  const auto resize = [&](const std::string& bytes) {
    return client.run({.kind = "image.resize", .params_json = R"({"width":8})", .parts = {Part::copy(bytes)}});
  };
  EXPECT_EQ(resize("").error().code, ErrorCode::kBadInput);
  EXPECT_EQ(resize(pattern(5000)).error().code, ErrorCode::kBadInput);
  EXPECT_EQ(resize("\xff\xd8\xff" + pattern(5000)).error().code, ErrorCode::kBadInput);
  EXPECT_EQ(resize("\x89PNG\r\n\x1a\n" + pattern(5000)).error().code, ErrorCode::kBadInput);
  EXPECT_EQ(resize("RIFF____WEBP" + pattern(5000)).error().code, ErrorCode::kBadInput);
  EXPECT_EQ(server.pool("image").at("deaths").as_object().size(), 0U);
}

}  // namespace
}  // namespace quern::test
