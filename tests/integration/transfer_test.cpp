// Large buffers, handed over: in, through, back, and into files.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>

#include "tests/integration/hanging_file.h"
#include "tests/integration/raw_client.h"
#include "tests/integration/server.h"

namespace quern::test {
namespace {

using client::Buffer;
using client::Job;
using client::Part;
using ::testing::HasSubstr;

constexpr std::uint64_t kMiB = 1U << 20;

Buffer filled(std::uint64_t bytes, char with) {
  auto buffer = Buffer::allocate(bytes);
  EXPECT_TRUE(buffer);
  std::ranges::fill(buffer->bytes(), static_cast<std::byte>(with));
  return std::move(*buffer);
}

ino_t inode(int fd) {
  struct stat info {};
  EXPECT_EQ(::fstat(fd, &info), 0);
  return info.st_ino;
}

class ScratchDirectory {
 public:
  ScratchDirectory() {
    char path[] = "/tmp/quern-transfer.XXXXXX";
    path_ = ::mkdtemp(path);
  }
  ~ScratchDirectory() { std::filesystem::remove_all(path_); }
  [[nodiscard]] std::string operator/(std::string_view name) const { return path_ + "/" + std::string(name); }

 private:
  std::string path_;
};

std::string contents(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// ---- There and back --------------------------------------------------------------------------------

TEST(Transfer, HandsTheSameMemoryThereAndBack) {
  const Server server;
  client::Client client = server.connect();
  Part part = Part::transfer(filled(100 * kMiB, 'q'), "big");
  const ino_t sent = inode(part.fd().get());
  auto result = client.run({.kind = "debug.echo", .parts = {std::move(part)}});
  ASSERT_TRUE(result) << to_string(result.error());
  ASSERT_EQ(result->parts.size(), 1U);
  EXPECT_EQ(inode(result->parts[0].fd().get()), sent) << "nobody has made a copy";
  EXPECT_EQ(result->parts[0].bytes().size(), 100 * kMiB);
  EXPECT_EQ(result->parts[0].text().back(), 'q');
  EXPECT_EQ(client.stats().copied_bytes, 0U);
  // and on it goes
  auto again = client.run(
      {.kind = "debug.echo", .params_json = R"({"touch":true})", .parts = {std::move(result->parts[0]).hand_on()}});
  ASSERT_TRUE(again);
  EXPECT_EQ(inode(again->parts[0].fd().get()), sent);
  EXPECT_EQ(again->parts[0].name(), "big");
}

TEST(Transfer, ASpentBufferSaysSo) {
  auto buffer = Buffer::allocate(kMiB);
  ASSERT_TRUE(buffer);
  const Part part = Part::transfer(std::move(*buffer));
  EXPECT_EQ(part.error(), nullptr);
  EXPECT_TRUE(buffer->spent());
  EXPECT_THROW((void)buffer->bytes(), std::logic_error);
  const Server server;
  client::Client client = server.connect();
  const auto twice = client.run({.kind = "debug.echo", .parts = {Part::transfer(std::move(*buffer))}});
  ASSERT_FALSE(twice);
  EXPECT_EQ(twice.error().code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(twice.error().message, HasSubstr("handed over before"));
}

TEST(Transfer, WhatIsNotSealedIsSealedOrCopiedOnceAndCounted) {
  const Server server;
  const ScratchDirectory scratch;
  client::Client client = server.connect();
  const auto echoed = [&](Part part) {
    auto result = client.run({.kind = "debug.echo", .parts = {std::move(part)}});
    EXPECT_TRUE(result) << to_string(result.error());
    return result ? std::string(result->parts.at(0).text()) : "";
  };
  const std::string text(kMiB, 'm');
  auto memfd = ipc::create_memfd("test", 0);
  ASSERT_TRUE(memfd && ::write(memfd->get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()));
  const unique_fd ours(::fcntl(memfd->get(), F_DUPFD_CLOEXEC, 0));
  EXPECT_EQ(echoed(Part::file(std::move(*memfd))), text);
  EXPECT_EQ(client.stats().copied_bytes, 0U);
  EXPECT_EQ(::write(ours.get(), "x", 1), -1) << "it is sealed now";

  auto mapped = ipc::create_memfd("test", 0);
  ASSERT_TRUE(mapped && ::write(mapped->get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()));
  const auto writable = ipc::Mapping::map(mapped->get(), text.size(), ipc::Access::kReadWrite);
  EXPECT_EQ(echoed(Part::file(std::move(*mapped))), text) << "somebody could still write to it";
  EXPECT_EQ(client.stats().copied_bytes, kMiB);

  const std::string path = scratch / "file";
  std::ofstream(path) << text << text;
  unique_fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  ::lseek(file.get(), 17, SEEK_SET);
  EXPECT_EQ(echoed(Part::file(std::move(file))), text + text) << "a file can't be sealed; all of it is taken";
  EXPECT_EQ(client.stats().copied_bytes, 3 * kMiB);
}

TEST(Transfer, AJobWhoseWorkerDiedIsTriedAgainWithTheSameBytes) {
  const Server server;
  client::Client client = server.connect();
  const auto result = client.run({.kind = "debug.crash",
                                  .params_json = R"({"until_attempt":2})",
                                  .parts = {Part::transfer(filled(64 * kMiB, 'r'))},
                                  .options = {.attempts = 2}});
  ASSERT_TRUE(result) << to_string(result.error());
  EXPECT_EQ(result->info.attempts, 2U);
  const auto poison = client.run({.kind = "debug.crash", .parts = {Part::transfer(filled(64 * kMiB, 'r'))}});
  ASSERT_FALSE(poison);
  EXPECT_EQ(poison.error().code, ErrorCode::kWorkerCrashed);
}

TEST(Transfer, OneThatIsTooLargeIsRefusedWithTheSetting) {
  const Server server("[limits]\npayload_bytes_max = '64MiB'\n" + debug_pool());
  client::Client client = server.connect();
  const auto refused = client.run({.kind = "debug.echo", .parts = {Part::transfer(filled(65 * kMiB, 'l'))}});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kTooLarge);
  EXPECT_THAT(refused.error().message, HasSubstr("limits.payload_bytes_max"));
}

// ---- Descriptors that are something else -----------------------------------------------------------

TEST(Transfer, DescriptorsOfOtherThingsAreClearErrors) {
  const Server server;
  const ScratchDirectory scratch;
  RawClient client(server);
  client.greet();
  const std::string fifo = scratch / "fifo";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  const std::string path = scratch / "file";
  std::ofstream(path) << "some bytes";
  const unique_fd others[] = {unique_fd(::open(fifo.c_str(), O_RDWR | O_CLOEXEC)),
                              unique_fd(::open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC)),
                              unique_fd(::open("/dev/zero", O_RDWR | O_CLOEXEC)),
                              unique_fd(::open(path.c_str(), O_RDWR | O_CLOEXEC)),
                              unique_fd(::open(path.c_str(), O_PATH | O_CLOEXEC)),
                              unique_fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0))};
  const std::vector<wire::Part> part{{.place = wire::Place::kFd, .bytes = 10}};
  std::uint64_t id = 0;
  for (const unique_fd& other : others) {
    ASSERT_TRUE(other);
    const int fds[] = {other.get()};
    client.submit(++id, "debug.echo", "", part, fds);
    const auto answer = client.receive();
    EXPECT_EQ(answer.error().code, ErrorCode::kInvalidArgument);
    EXPECT_EQ(answer.error().field, "parts");
    EXPECT_THAT(answer.error().message, HasSubstr("sealed"));
  }
  EXPECT_EQ(server.pool().at("deaths").as_object().size(), 0U);
}

TEST(Transfer, AFileSystemThatHangsHoldsNobodyUp) {
  if (!HangingFile::possible()) GTEST_SKIP() << "needs root and FUSE";
  const Server server(debug_pool("run_timeout_ms = 300\n", kShortGraceMs));
  client::Client other = server.connect();
  HangingFile file;
  {
    RawClient client(server);
    client.greet();
    const std::vector<wire::Part> part{{.place = wire::Place::kFd, .bytes = 10}};
    for (std::uint64_t id = 1; id <= 20; ++id) {
      const int fds[] = {file.fd()};
      client.submit(id, "debug.echo", "", part, fds);
      EXPECT_EQ(client.receive().error().field, "parts");
    }
    EXPECT_TRUE(eventually([&] { return file.waiting() == 1; })) << "somebody closes the first, and waits";
    EXPECT_TRUE(other.run({.kind = "debug.noop"}));
    const int unasked[] = {file.fd(), file.fd()};  // the connection ends with them
    client.send(ipc::as_bytes("x"), unasked);
  }
  EXPECT_TRUE(other.run({.kind = "debug.noop"}));
  // as an output file it holds up its own job's worker, which can't even die, and is given up
  file.hang_entirely();
  RawClient client(server);
  client.greet();
  wire::Buffer submit;
  wire::FrameBuilder frame(submit, wire::FrameType::kSubmit, 1, 1);
  wire::encode_submit_head(frame.body(), "debug.produce", {.attempts = 1, .output_file = true});
  wire::encode_job_body(frame.body(), R"({"bytes":100})", {});
  frame.finish();
  const int fds[] = {file.fd()};
  client.send(submit, fds);
  EXPECT_EQ(client.receive().error().cause.kind, CauseKind::kRunTimeout);
  EXPECT_THAT(server.log(), HasSubstr("event=worker_stuck"));
  EXPECT_TRUE(eventually([&] { return server.pool().at("workers").as_array().size() == 2; }));
  EXPECT_TRUE(other.run({.kind = "debug.noop"}));
}

// ---- Results into files ----------------------------------------------------------------------------

Job into(const std::string& path, std::string kind, std::string params, int flags = O_RDWR | O_CREAT) {
  Job job{.kind = std::move(kind), .params_json = std::move(params)};
  job.output_file = std::make_shared<unique_fd>(::open(path.c_str(), flags | O_CLOEXEC, 0600));
  EXPECT_TRUE(*job.output_file);
  return job;
}

TEST(OutputFile, HoldsTheResultAndNothingElse) {
  const Server server;
  const ScratchDirectory scratch;
  client::Client client = server.connect();
  const std::string path = scratch / "result";
  for (const std::size_t bytes : {std::size_t{20 * kMiB + 7}, std::size_t{5}, std::size_t{0}}) {
    const auto result = client.run(into(path, "debug.produce", R"({"bytes":)" + std::to_string(bytes) + "}"));
    ASSERT_TRUE(result) << to_string(result.error());
    ASSERT_EQ(result->parts.size(), 1U);
    EXPECT_EQ(result->parts[0].elsewhere_bytes(), bytes);
    EXPECT_TRUE(result->parts[0].bytes().empty());
    const std::string written = contents(path);
    ASSERT_EQ(written.size(), bytes) << "the longer one before it is gone";
    for (std::size_t i = 0; i < bytes; ++i) ASSERT_EQ(static_cast<unsigned char>(written[i]), i % 251);
  }
  Job echo = into(path, "debug.echo", "");
  echo.parts = {Part::copy("first"), Part::transfer(filled(kMiB, 's'))};
  const auto echoed = client.run(std::move(echo));
  ASSERT_TRUE(echoed) << to_string(echoed.error());
  EXPECT_EQ(contents(path), "first") << "the first part";
  EXPECT_EQ(echoed->parts.at(1).bytes().size(), kMiB) << "the others come as they always do";
}

TEST(OutputFile, IsWrittenFromTheBeginningByTheNextAttempt) {
  const Server server;
  const ScratchDirectory scratch;
  client::Client client = server.connect();
  const std::string path = scratch / "result";
  std::ofstream(path) << std::string(1000, 'o');
  Job job = into(path, "debug.crash", R"({"until_attempt":2})");
  job.options.attempts = 2;
  ASSERT_TRUE(client.run(std::move(job)));
  EXPECT_EQ(contents(path), "survived attempt 2\n");
}

TEST(OutputFile, ThatCantBeWrittenIsTheJobsError) {
  const Server server;
  const ScratchDirectory scratch;
  client::Client client = server.connect();
  const std::string path = scratch / "result";
  const std::string fifo = scratch / "fifo";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  const auto refused = [&](const std::string& file, int flags, std::string_view because) {
    const auto result = client.run(into(file, "debug.produce", R"({"bytes":100})", flags));
    ASSERT_FALSE(result) << because;
    EXPECT_EQ(result.error().code, ErrorCode::kInvalidArgument);
    EXPECT_EQ(result.error().field, "output_file");
    EXPECT_THAT(result.error().message, HasSubstr(std::string(because)));
  };
  refused(path, O_RDONLY | O_CREAT, "not open for writing");
  refused(path, O_PATH, "not open for writing");
  refused(path, O_WRONLY | O_APPEND, "appending");
  refused(fifo, O_RDWR, "regular file");
  refused("/dev/null", O_RDWR, "regular file");
  EXPECT_EQ(server.pool().at("deaths").as_object().size(), 0U);
}

TEST(OutputFile, OnAFullDeviceIsNoCrash) {
  const Server server;
  const ScratchDirectory scratch;
  client::Client client = server.connect();
  auto sealed = ipc::create_memfd("full", 4096);  // takes no byte beyond its first page
  ASSERT_TRUE(sealed);
  ASSERT_EQ(::fcntl(sealed->get(), F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK), 0);
  Job job{.kind = "debug.produce", .params_json = R"({"bytes":1000000})"};
  job.output_file = std::make_shared<unique_fd>(std::move(*sealed));
  const auto result = client.run(std::move(job));
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().field, "output_file");
  EXPECT_EQ(server.pool().at("deaths").as_object().size(), 0U);
}

}  // namespace
}  // namespace quern::test
