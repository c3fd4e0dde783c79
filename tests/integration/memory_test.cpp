// Jobs that reserve memory of their pool's budget: they wait for each other, in order.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <cstring>
#include <fstream>
#include <mutex>
#include <string>
#include <vector>

#include "common/sanitizer.h"
#include "tests/integration/reservations.h"

namespace quern::test {
namespace {

using client::Job;
using ::testing::HasSubstr;

TEST(Memory, JobsThatDoNotFitTogetherRunOneAfterTheOther) {
  const Server server(memory_pool());
  client::Client client = server.connect();
  std::vector<client::PendingJob> jobs;
  for (int i = 0; i < 20; ++i) jobs.push_back(client.submit(reserve(kMost, 5)));
  std::uint64_t most = 0;
  for (auto& job : jobs) {
    const auto result = job.get();
    EXPECT_TRUE(result) << to_string(result.error());
    most = std::max(most, fact(server, "memory_reserved_bytes"));
  }
  EXPECT_LE(most, kMost);
  EXPECT_GE(fact(server, "waited_for_memory"), 3U);
  EXPECT_TRUE(comes_to_hold(server, 0, 0));
}

TEST(Memory, JobsThatFitTogetherRunTogether) {
  const Server server(memory_pool());
  client::Client client = server.connect();
  std::vector<client::PendingJob> jobs;
  for (int i = 0; i < 3; ++i) jobs.push_back(client.submit(reserve(70 * kMiB, kForLong)));
  EXPECT_TRUE(comes_to_hold(server, 3 * 70 * kMiB, 0));
  jobs.push_back(client.submit(reserve(70 * kMiB, kForLong)));
  EXPECT_TRUE(comes_to_hold(server, 3 * 70 * kMiB, 1)) << "the fourth is one too many";
  const auto status = quern(server, {"status"});
  EXPECT_THAT(status.out, HasSubstr("210.0 MiB/256.0 MiB, 1 wait"));
  EXPECT_THAT(status.out, HasSubstr("waits for 70.0 MiB"));
  EXPECT_THAT(quern(server, {"top", "--once"}).out, HasSubstr("210.0 MiB/256.0 MiB, 1 wait"));
  EXPECT_THAT(quern(server, {"jobs"}).out, HasSubstr("waiting"));
}

// All black, uncompressed: BITMAPFILEHEADER and BITMAPINFOHEADER before the pixels.
std::string bitmap(std::uint32_t width, std::uint32_t height) {
  std::string file(54 + std::size_t{3} * width * height, '\0');
  const auto put = [&](std::size_t at, std::uint32_t value) { std::memcpy(&file[at], &value, sizeof value); };
  file[0] = 'B';
  file[1] = 'M';
  put(10, 54);
  put(14, 40);
  put(18, width);
  put(22, height);
  put(26, 1 | 24U << 16);  // planes, bits a pixel
  return file;
}

TEST(Memory, APicturesIsKnownFromItsHeader) {
  const Server server(memory_pool("", "'debug', 'image'"));
  client::Client client = server.connect();
  auto holder = client.submit(reserve(kBudget, kForLong));
  ASSERT_TRUE(comes_to_hold(server, kBudget, 0));
  const std::string large = bitmap(2400, 2000);
  const auto mirrored = [](const std::string& picture) {
    return Job{.kind = "image.process",
               .params_json = R"({"operations":[{"op":"flop"}],"format":"png"})",
               .parts = {client::Part::copy(picture)}};
  };
  auto waiting = client.submit(mirrored(large));
  ASSERT_TRUE(comes_to_hold(server, kBudget, 1));
  EXPECT_TRUE(client.run(mirrored(bitmap(60, 50)))) << "thumbnails pass by";
  const auto never = client.run(mirrored(bitmap(6000, 4000)));
  ASSERT_FALSE(never);
  EXPECT_EQ(never.error().code, ErrorCode::kTooLarge) << never.error().message;
  holder.cancel();
  EXPECT_TRUE(waiting.get());
  EXPECT_TRUE(comes_to_hold(server, 0, 0));
}

// Of a process, what no other shares.
std::uint64_t private_bytes(pid_t pid) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("RssAnon:")) return std::stoull(line.substr(8)) * 1024;
  }
  return 0;
}

// Its heap may keep what it freed for the next one; but not for long.
TEST(Memory, OfAJobThatIsDoneGoesBackToTheMachine) {
  if (kSanitized) GTEST_SKIP() << "a sanitizer has an allocator of its own";
  const Server server(memory_pool("workers_max = 4\n", "'debug', 'image'"));
  ASSERT_TRUE(server.operate(wire::AdminOp::kResize, "debug", 1));
  ASSERT_TRUE(eventually([&] { return server.pool().at("workers").as_array().size() == 1; }));
  const auto pid = static_cast<pid_t>(server.pool().at("workers").at(0).at("pid").as_int64());
  const std::uint64_t before = private_bytes(pid);
  client::Client client = server.connect();
  for (int i = 0; i < 5; ++i) {
    EXPECT_TRUE(client.run({.kind = "image.process",
                            .params_json = R"({"operations":[{"op":"flop"}],"format":"png"})",
                            .parts = {client::Part::copy(bitmap(2400, 2000))}}));
  }
  EXPECT_TRUE(eventually([&] { return private_bytes(pid) < before + 8 * kMiB; })) << private_bytes(pid) - before;
}

TEST(Memory, SmallReservationsAreNotAskedFor) {
  const Server server(memory_pool());
  client::Client client = server.connect();
  auto holder = client.submit(reserve(kBudget, kForLong));
  ASSERT_TRUE(comes_to_hold(server, kBudget, 0));
  EXPECT_TRUE(client.run(reserve(16 * kMiB)));
  EXPECT_EQ(fact(server, "waited_for_memory"), 0U);
}

TEST(Memory, ThatThereIsNeverIsRefusedWithTheSettingToRaise) {
  const Server server(memory_pool("memory_bytes_max = '220MiB'\n"));
  client::Client client = server.connect();
  const auto failed = client.run(reserve(kBudget + 1));
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, ErrorCode::kTooLarge);
  EXPECT_THAT(failed.error().message, HasSubstr("memory_bytes_max"));
  EXPECT_TRUE(client.run(reserve(kMost)));
  const Server unbounded(memory_pool());
  client::Client other = unbounded.connect();
  const auto refused = other.run(reserve(kBudget + 1));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kTooLarge);
  EXPECT_THAT(refused.error().message, HasSubstr(std::to_string(kBudget + 1)));
  EXPECT_THAT(refused.error().message, HasSubstr(std::to_string(kBudget)));
  EXPECT_THAT(refused.error().message, HasSubstr("memory_budget_bytes"));
  EXPECT_TRUE(other.run(reserve(kBudget))) << "all of it is not too much";
}

TEST(Memory, WithoutABudgetNobodyWaits) {
  const Server server("[pools.debug]\nmodules = ['debug']\nworkers = 2\nmemory_budget_bytes = 0\n");
  client::Client client = server.connect();
  auto holder = client.submit(reserve(1ULL << 39, kForLong));
  (void)server.busy_worker();
  EXPECT_TRUE(client.run(reserve(1ULL << 39)));
}

TEST(Memory, WhatAJobGivesBackGoesToTheNext) {
  const Server server(memory_pool());
  client::Client client = server.connect();
  auto holder = client.submit(reserve(kMost, 0, R"(,"then_bytes":[33554432],"then_ms":600000)"));
  EXPECT_TRUE(comes_to_hold(server, 32 * kMiB, 0));
  EXPECT_TRUE(client.run(reserve(190 * kMiB))) << "with the shares of two idle workers it is all";
  holder.cancel();
  EXPECT_EQ(holder.get().error().code, ErrorCode::kCancelled);
}

TEST(Memory, MoreThanBeforeIsTheModulesMistakeUnlessItHasNothing) {
  const Server server(memory_pool());
  client::Client client = server.connect();
  for (const std::uint64_t bytes : {kMiB, 100 * kMiB}) {
    const auto failed = client.run(reserve(bytes, 0, R"(,"then_bytes":[200000000])"));
    ASSERT_FALSE(failed);
    EXPECT_EQ(failed.error().code, ErrorCode::kInternal) << "however little it was";
  }
  std::vector<client::PendingJob> jobs;
  for (int i = 0; i < 8; ++i) {
    jobs.push_back(client.submit(reserve(100 * kMiB, 0, R"(,"then_bytes":[1000,0,200000000,0,200000000,0,90000000])")));
  }
  for (auto& job : jobs) {
    const auto result = job.get();
    EXPECT_TRUE(result) << to_string(result.error());
  }
  EXPECT_TRUE(comes_to_hold(server, 0, 0));
}

TEST(Memory, NobodyOvertakesAJobThatWaits) {
  const Server server(memory_pool());
  client::Client client = server.connect();
  auto holder = client.submit(reserve(100 * kMiB, kForLong));
  ASSERT_TRUE(comes_to_hold(server, 100 * kMiB, 0));
  auto large = client.submit(reserve(kMost, kForLong));
  ASSERT_TRUE(comes_to_hold(server, 100 * kMiB, 1));
  auto small = client.submit(reserve(40 * kMiB));
  ASSERT_TRUE(comes_to_hold(server, 100 * kMiB, 2)) << "although there is room for it";
  holder.cancel();
  EXPECT_TRUE(comes_to_hold(server, kMost, 1)) << "the large one runs, and no room is left beside the shares";
  large.cancel();
  EXPECT_TRUE(small.get());
}

}  // namespace
}  // namespace quern::test
