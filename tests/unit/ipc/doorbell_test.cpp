#include "ipc/doorbell.h"

#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <thread>

#include "common/sanitizer.h"
#include "common/unique_fd.h"

namespace quern::ipc {
namespace {

struct Bells : ::testing::Test {
  Channel channel = std::move(
      Channel::create({.slots = 2, .input_extent_bytes = 4096, .output_extent_bytes = 4096}, 1).value().channel);
  ChannelHeader& header = channel.header();
};
using Doorbell = Bells;

TEST_F(Doorbell, ABusyWorkerCostsNoSystemCall) {
  EXPECT_FALSE(ring_worker(header));
  header.worker_sleeping.store(1);
  EXPECT_TRUE(ring_worker(header));
  EXPECT_FALSE(ring_worker(header)) << "one wake is enough";
}

TEST_F(Doorbell, AnAwakeSupervisorCostsNoSystemCall) {
  const unique_fd eventfd(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  EXPECT_FALSE(ring_supervisor(header, eventfd.get()));
  EXPECT_TRUE(prepare_supervisor_sleep(header, {}));
  EXPECT_TRUE(ring_supervisor(header, eventfd.get()));
  EXPECT_FALSE(ring_supervisor(header, eventfd.get()));
  std::uint64_t count = 0;
  EXPECT_EQ(::read(eventfd.get(), &count, sizeof count), 8);
  EXPECT_EQ(count, 1U);
}

TEST_F(Doorbell, TheSupervisorDoesNotSleepOnAnswersThatAreThere) {
  header.completion_tail.store(3);
  EXPECT_FALSE(prepare_supervisor_sleep(header, {.completions = 2}));
  EXPECT_EQ(header.supervisor_sleeping.load(), 0U);
}

TEST_F(Doorbell, TheWorkerReturnsAtOnceWhenThereIsNews) {
  header.submission_tail.store(1);
  wait_for_submission(header, 0, 0);
  header.lifecycle.store(1);
  wait_for_submission(header, 1, 0);
  EXPECT_EQ(header.worker_sleeping.load(), 0U);
}

TEST_F(Doorbell, TheWorkersPatienceEnds) {
  EXPECT_FALSE(wait_for_submission(header, 0, 0, std::chrono::milliseconds(1)));
  header.submission_tail.store(1);
  EXPECT_TRUE(wait_for_submission(header, 0, 0, std::chrono::hours(1)));
}

// A hundred thousand hand-overs of one token, each of which both sides sleep for: one lost wake-up and it hangs.
TEST_F(Doorbell, NoWakeUpIsLost) {
  constexpr std::uint64_t kRounds = kSanitized ? 20'000 : 100'000;
  std::thread worker([&] {
    for (std::uint64_t i = 0; i < kRounds; ++i) {
      while (header.submission_tail.load() == i) wait_for_submission(header, i, 0);
      header.completion_tail.store(i + 1);
      header.completion_tail.notify_one();
    }
  });
  for (std::uint64_t i = 0; i < kRounds; ++i) {
    header.submission_tail.store(i + 1);
    ring_worker(header);
    header.completion_tail.wait(i);
  }
  worker.join();
  EXPECT_EQ(header.completion_tail.load(), kRounds);
}

}  // namespace
}  // namespace quern::ipc
