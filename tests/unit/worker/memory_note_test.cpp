// Deaths for want of memory, told from other deaths.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include "common/sanitizer.h"
#include "fake_supervisor.h"

namespace quern::test {
namespace {

class MemoryNote : public ::testing::Test {
 protected:
  void SetUp() override {
    if (kSanitized) GTEST_SKIP() << "a sanitizer's allocator dies in its own way";
  }
  struct End {
    int how = 0;
    bool noted = false;
    friend bool operator==(const End&, const End&) = default;
  };
  End end_of(std::string_view kind, std::string params) {
    const auto worker = supervisor_.spawn();
    EXPECT_FALSE(worker->run({.kind = supervisor_.kind(kind), .params = std::move(params)}));
    return {worker->wait_for_end(), worker->channel().header().allocation_failed.load() == 1};
  }
  FakeSupervisor supervisor_{{QUERN_DEBUG_MODULE}, {"--memory-bytes-max", "67108864"}};
};

TEST_F(MemoryNote, IsLeftByALibraryThatAbortsOrUsesANullPointer) {
  EXPECT_EQ(end_of("debug.allocate", R"({"bytes":1e9,"on_failure":"abort"})"), (End{-SIGABRT, true}));
  EXPECT_EQ(end_of("debug.allocate", R"({"bytes":1e9,"on_failure":"crash"})"), (End{-SIGSEGV, true}));
  EXPECT_EQ(end_of("debug.allocate", R"({"bytes":1e9,"on_failure":"terminate"})"), (End{-SIGABRT, true}));
}

TEST_F(MemoryNote, IsNotLeftByOtherDeaths) {
  EXPECT_EQ(end_of("debug.crash", R"({"signal":11})"), (End{-SIGSEGV, false}));
  EXPECT_EQ(end_of("debug.crash", R"({"signal":6})"), (End{-SIGABRT, false}));
  EXPECT_EQ(end_of("debug.crash", R"({"signal":9})"), (End{-SIGKILL, false}));
}

TEST_F(MemoryNote, ASignalFromOutsideStillKillsAndLeavesNone) {
  for (const int signal : {SIGSEGV, SIGABRT, SIGBUS}) {
    const auto worker = supervisor_.spawn();
    ASSERT_TRUE(worker->run({.kind = supervisor_.kind("debug.noop")}));
    ASSERT_EQ(::kill(worker->pid(), signal), 0);
    EXPECT_EQ(worker->wait_for_end(), -signal);
    EXPECT_EQ(worker->channel().header().allocation_failed.load(), 0U);
  }
}

TEST_F(MemoryNote, AJobThatCopedLeavesNoTrace) {
  const auto worker = supervisor_.spawn();
  const auto refused = worker->run({.kind = supervisor_.kind("debug.allocate"), .params = R"({"bytes":1e9})"});
  ASSERT_TRUE(refused && refused->error);
  EXPECT_EQ(refused->error->code, ErrorCode::kOutOfMemory);
  EXPECT_FALSE(worker->run({.kind = supervisor_.kind("debug.crash"), .params = R"({"signal":6})"}));
  EXPECT_EQ(worker->channel().header().allocation_failed.load(), 0U) << "another job's crash";
}

}  // namespace
}  // namespace quern::test
