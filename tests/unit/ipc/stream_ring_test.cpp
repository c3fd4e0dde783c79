#include "ipc/stream_ring.h"

#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <sys/poll.h>
#include <unistd.h>

#include <random>
#include <string>
#include <thread>
#include <vector>

#include "common/sanitizer.h"
#include "common/unique_fd.h"
#include "ipc/doorbell.h"

namespace quern::ipc {
namespace {

struct StreamRing : ::testing::Test {
  Channel channel = std::move(
      Channel::create({.slots = 2, .input_extent_bytes = 4096, .output_extent_bytes = 4096}, 1).value().channel);
  ChannelHeader& header = channel.header();
  StreamProducer producer{channel};
  StreamConsumer consumer{channel};

  void put(std::string_view text) { producer.put(as_bytes(text)); }
  // What is there of `position`, taken.
  std::string take(std::uint64_t position) {
    const auto bytes = consumer.look(position);
    if (!bytes) return "a lie";
    std::string text(as_text(bytes->first));
    text += as_text(bytes->second);
    consumer.pop(bytes->size());
    return text;
  }
};

TEST_F(StreamRing, HandsOverBytesInTheirOrder) {
  producer.begin(7);
  EXPECT_EQ(take(7), "");
  put("grind");
  put(" the corn");
  EXPECT_EQ(take(7), "grind the corn");
  EXPECT_EQ(take(7), "");
}

TEST_F(StreamRing, GoesOnAtTheBeginning) {
  producer.begin(0);
  const std::string most(kStreamBytes - 3, 'a');
  put(most);
  EXPECT_EQ(take(0), most);
  put("across the end");
  const auto bytes = consumer.look(0);
  ASSERT_TRUE(bytes);
  EXPECT_EQ(bytes->first.size(), 3U);
  EXPECT_EQ(bytes->second.size(), 11U);
  EXPECT_EQ(take(0), "across the end");
}

TEST_F(StreamRing, KnowsItsRoom) {
  producer.begin(0);
  EXPECT_EQ(producer.room(producer.consumed()), kStreamBytes);
  put(std::string(kStreamBytes, 'x'));
  EXPECT_EQ(producer.room(producer.consumed()), 0U);
  const auto all = consumer.look(0);
  ASSERT_TRUE(all);
  EXPECT_EQ(all->size(), kStreamBytes);
  consumer.pop(5);
  EXPECT_EQ(producer.room(producer.consumed()), 5U);
}

TEST_F(StreamRing, HidesTheBytesOfAnotherJob) {
  producer.begin(3);
  put("three");
  EXPECT_EQ(take(2), "");
  EXPECT_EQ(take(3), "three");
}

TEST_F(StreamRing, BelievesNoImpossibleCount) {
  header.stream_produced = kStreamBytes + 1;
  EXPECT_FALSE(consumer.look(0));
  header.stream_produced = UINT64_MAX;
  EXPECT_FALSE(consumer.look(0));
  header.stream_produced = 4;
  header.stream_position = 0;
  EXPECT_EQ(take(0).size(), 4U);
  header.stream_produced = 3;
  EXPECT_FALSE(consumer.look(0)) << "it went back";
}

TEST_F(StreamRing, TheSupervisorDoesNotSleepOnBytesItHasNotSeen) {
  producer.begin(0);
  put("x");
  EXPECT_FALSE(prepare_supervisor_sleep(header, {.stream = consumer.seen()}));
  (void)consumer.look(0);
  EXPECT_TRUE(prepare_supervisor_sleep(header, {.stream = consumer.seen()})) << "seen, and left there";
}

TEST_F(StreamRing, AWorkerThatIsAskedToStopDoesNotWait) {
  header.cancel = 5 + 1;
  wait_for_stream_room(header, producer.consumed(), 5);
  std::thread worker([&] {
    while (header.cancel.load() != 6 + 1) wait_for_stream_room(header, producer.consumed(), 6);
  });
  header.cancel.store(6 + 1);
  ring_stream(header);
  worker.join();
}

// Two jobs after another, pieces of all sizes, both sides sleeping whenever they can: nothing is lost, nothing
// comes twice, no wake-up is missed.
TEST_F(StreamRing, BothSidesAtOnce) {
  constexpr std::uint64_t kBytes = kSanitized ? 20U << 20 : 400U << 20;
  const unique_fd eventfd(::eventfd(0, EFD_CLOEXEC));
  std::thread worker([&] {
    std::mt19937 random(1);
    std::vector<std::byte> piece(70'000);
    std::uint64_t made = 0;
    for (std::uint64_t position : {0U, 1U}) {
      while (producer.room(producer.consumed()) < kStreamBytes) {
        wait_for_stream_room(header, producer.consumed(), position);
      }
      producer.begin(position);
      for (const std::uint64_t end = made + kBytes / 2; made < end;) {
        const std::uint64_t consumed = producer.consumed();
        const std::size_t n = std::min<std::uint64_t>(
            {random() % piece.size() + 1, producer.room(consumed), static_cast<std::size_t>(end - made)});
        if (n == 0) {
          wait_for_stream_room(header, consumed, position);
          continue;
        }
        for (std::size_t i = 0; i < n; ++i) piece[i] = static_cast<std::byte>((made + i) % 251);
        producer.put(ByteSpan(piece).first(n));
        ring_supervisor(header, eventfd.get());
        made += n;
      }
    }
  });
  std::mt19937 random(2);
  std::uint64_t taken = 0;
  bool right = true;
  while (taken < kBytes) {
    const auto bytes = consumer.look(taken < kBytes / 2 ? 0 : 1);
    ASSERT_TRUE(bytes);
    if (bytes->size() == 0) {
      if (!prepare_supervisor_sleep(header, {.stream = consumer.seen()})) continue;
      pollfd bell{.fd = eventfd.get(), .events = POLLIN, .revents = 0};
      ASSERT_EQ(::poll(&bell, 1, 20'000), 1) << "a wake-up was lost after " << taken << " bytes";
      std::uint64_t count = 0;
      (void)!::read(eventfd.get(), &count, sizeof count);
      supervisor_awake(header);
      continue;
    }
    const std::size_t n = random() % bytes->size() + 1;
    for (std::size_t i = 0; i < n; ++i) {
      const std::byte byte = i < bytes->first.size() ? bytes->first[i] : bytes->second[i - bytes->first.size()];
      right = right && byte == static_cast<std::byte>((taken + i) % 251);
    }
    consumer.pop(n);
    ring_stream(header);
    taken += n;
  }
  worker.join();
  EXPECT_TRUE(right);
}

}  // namespace
}  // namespace quern::ipc
