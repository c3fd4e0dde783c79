#include "ipc/reservation.h"

#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <sys/poll.h>
#include <unistd.h>

#include <atomic>
#include <random>
#include <thread>

#include "common/sanitizer.h"
#include "common/unique_fd.h"
#include "ipc/completion_ring.h"

namespace quern::ipc {
namespace {

struct Reservation : ::testing::Test {
  Channel channel = std::move(
      Channel::create({.slots = 2, .input_extent_bytes = 4096, .output_extent_bytes = 4096}, 1).value().channel);
  ChannelHeader& header = channel.header();
  unique_fd eventfd{::eventfd(0, EFD_CLOEXEC)};
  ReservationProducer producer{channel, eventfd.get()};
  ReservationConsumer consumer{channel};
};

TEST_F(Reservation, SaysAllInOneWord) {
  const std::uint64_t word = producer.tell(0x12345, (3ULL << 30) + 1);
  EXPECT_EQ(consumer.look(), word);
  const auto said = MemoryWord::unpacked(word);
  EXPECT_EQ(said.position, 0x2345U);
  EXPECT_EQ(said.bytes(), (3ULL << 30) + 4096) << "in whole pages";
  EXPECT_EQ(said.packed(), word);
  EXPECT_NE(producer.tell(0x12345, (3ULL << 30) + 1), word) << "each is another";
}

TEST_F(Reservation, IsGrantedByItsOwnWordOnly) {
  const std::uint64_t first = producer.tell(0, 100'000);
  EXPECT_FALSE(producer.granted(first));
  consumer.note(consumer.look());
  consumer.grant();
  EXPECT_TRUE(producer.granted(first));
  const std::uint64_t second = producer.tell(0, 100'000);
  EXPECT_FALSE(producer.granted(second));
}

TEST_F(Reservation, TheSupervisorDoesNotSleepOnAWordItHasNotSeen) {
  producer.tell(0, 1);
  EXPECT_FALSE(prepare_supervisor_sleep(header, {.memory = consumer.seen()}));
  consumer.note(consumer.look());
  EXPECT_TRUE(prepare_supervisor_sleep(header, {.memory = consumer.seen()}));
}

TEST_F(Reservation, AWorkerThatIsAskedToStopDoesNotWait) {
  header.cancel = 5 + 1;
  wait_for_memory(header, 1, 5);
  std::thread worker([&] {
    while (header.cancel.load() != 6 + 1) wait_for_memory(header, 1, 6);
  });
  header.cancel.store(6 + 1);
  ring_memory(header);
  worker.join();
}

// Jobs one after another that ask, give back and ask anew, both sides sleeping whenever they can: no wake-up is missed,
// nobody believes to have what was not granted, and a word is never looked at before the completions that came before.
TEST_F(Reservation, BothSidesAtOnce) {
  constexpr std::uint64_t kJobs = kSanitized ? 5'000 : 100'000;
  std::atomic<std::uint64_t> granted = 0;  // what the supervisor says it has lent
  std::atomic<std::uint64_t> consumed = 0;
  std::atomic<bool> right = true;
  std::thread worker([&] {
    std::mt19937 random(1);
    CompletionProducer completions(channel);
    for (std::uint64_t position = 0; position < kJobs; ++position) {
      for (std::uint64_t asks = random() % 3; asks > 0; --asks) {
        const std::uint64_t bytes = kPageBytes * (1 + random() % 1000);
        const std::uint64_t word = producer.tell(position, bytes);
        while (!producer.granted(word)) wait_for_memory(header, word, position);
        if (granted.load() != bytes) right = false;
        if (random() % 2 == 0) producer.tell(position, 0);
      }
      Completion done{};
      done.position = position;
      completions.complete(done);
      ring_supervisor(header, eventfd.get());
      while (position + 1 - consumed.load() > 1) std::this_thread::yield();  // the ring has room for two
    }
  });
  CompletionConsumer completions(channel);
  Completion completion;
  while (completions.consumed() < kJobs) {
    const std::uint64_t word = consumer.look();
    while (completions.look(kJobs, completion) == CompletionConsumer::Look::kOne) completions.pop();
    consumed.store(completions.consumed());
    if (word != consumer.seen()) {
      consumer.note(word);
      const auto said = MemoryWord::unpacked(word);
      const auto ahead = static_cast<std::int16_t>(said.position - static_cast<std::uint16_t>(completions.consumed()));
      if (ahead > 0) right = false;
      if (ahead == 0 && said.pages > 0) {
        granted.store(said.bytes());
        consumer.grant();
      }
    }
    if (completions.consumed() == kJobs) break;
    if (prepare_supervisor_sleep(header, {.completions = completions.consumed(), .memory = consumer.seen()})) {
      pollfd bell{.fd = eventfd.get(), .events = POLLIN, .revents = 0};
      ASSERT_EQ(::poll(&bell, 1, 20'000), 1) << "a wake-up was lost after " << completions.consumed() << " jobs";
      std::uint64_t count = 0;
      (void)!::read(eventfd.get(), &count, sizeof count);
    }
    supervisor_awake(header);
  }
  worker.join();
  EXPECT_TRUE(right);
}

}  // namespace
}  // namespace quern::ipc
