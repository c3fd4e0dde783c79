// The two rings, single-threaded step by step and then with both sides running.
#include <gtest/gtest.h>

#include <atomic>
#include <random>
#include <thread>
#include <vector>

#include "common/sanitizer.h"
#include "ipc/completion_ring.h"
#include "ipc/doorbell.h"
#include "ipc/submission_ring.h"

namespace quern::ipc {
namespace {

class Rings : public ::testing::Test {
 protected:
  static Channel make() {
    auto created = Channel::create({.slots = 8, .input_extent_bytes = 4096, .output_extent_bytes = 4096}, 1);
    return std::move(created.value().channel);
  }
  Channel channel_ = make();
  SubmissionProducer producer_{channel_};
  SubmissionConsumer consumer_{channel_};
  CompletionProducer completer_{channel_};
  CompletionConsumer completions_{channel_};

  void complete(std::uint64_t position, Outcome outcome = Outcome::kResult) {
    Completion completion{};
    completion.position = position;
    completion.outcome = static_cast<std::uint32_t>(outcome);
    completer_.complete(completion);
  }
};

using SubmissionRing = Rings;
using CompletionRing = Rings;

TEST_F(SubmissionRing, CarriesEveryFieldOfAJob) {
  producer_.publish({.job_id = 77,
                     .result_bytes_max = 1ULL << 40,
                     .kind = 3,
                     .attempt = 2,
                     .body_bytes = 9,
                     .fd_count = 2,
                     .body_in_fd = true});
  const auto claim = consumer_.claim();
  ASSERT_TRUE(claim);
  EXPECT_FALSE(claim->revoked);
  EXPECT_EQ(claim->submission.job_id, 77U);
  EXPECT_EQ(claim->submission.result_bytes_max, 1ULL << 40);
  EXPECT_EQ(claim->submission.kind, 3U);
  EXPECT_EQ(claim->submission.attempt, 2U);
  EXPECT_EQ(claim->submission.body_bytes, 9U);
  EXPECT_EQ(claim->submission.fd_count, 2U);
  EXPECT_TRUE(claim->submission.body_in_fd);
  EXPECT_FALSE(consumer_.claim());
}

TEST_F(SubmissionRing, RevokedDescriptorIsNeverRun) {
  producer_.publish({.job_id = 1});
  EXPECT_TRUE(producer_.revoke(0));
  EXPECT_FALSE(producer_.revoke(0)) << "a second revoke has nothing to win";
  const auto claim = consumer_.claim();
  ASSERT_TRUE(claim);
  EXPECT_TRUE(claim->revoked);
}

TEST_F(SubmissionRing, TakenDescriptorCanNotBeRevoked) {
  producer_.publish({.job_id = 1});
  EXPECT_FALSE(producer_.begun(0));
  ASSERT_TRUE(consumer_.claim());
  EXPECT_FALSE(producer_.revoke(0));
  EXPECT_TRUE(producer_.begun(0));
}

TEST_F(SubmissionRing, ARevokeOfTheSlotsPreviousLifeFails) {
  for (std::uint64_t p = 0; p < 8; ++p) {
    producer_.publish({.job_id = p});
    ASSERT_TRUE(consumer_.claim());
  }
  producer_.publish({.job_id = 8});  // slot 0 again
  EXPECT_FALSE(producer_.revoke(0));
  EXPECT_TRUE(producer_.revoke(8));
}

TEST_F(SubmissionRing, AScribbledWordCountsAsBegun) {
  producer_.publish({.job_id = 1});
  channel_.descriptor(0).word.store(0xdeadbeef);
  EXPECT_TRUE(producer_.begun(0));
  EXPECT_FALSE(producer_.revoke(0));
}

TEST_F(CompletionRing, IsEmptyUntilTheTailMoves) {
  Completion seen;
  producer_.publish({});
  channel_.completion(0).position = 0;  // fields without the tail: a worker that died before publishing
  EXPECT_EQ(completions_.look(1, seen), CompletionConsumer::Look::kEmpty);
  complete(0);
  EXPECT_EQ(completions_.look(1, seen), CompletionConsumer::Look::kOne);
  completions_.pop();
  EXPECT_EQ(completions_.look(1, seen), CompletionConsumer::Look::kEmpty);
}

TEST_F(CompletionRing, EveryImpossibleThingIsFound) {
  Completion seen;
  const auto corrupt = [&](auto damage) {
    Channel fresh = make();
    CompletionProducer producer(fresh);
    const CompletionConsumer consumer(fresh);
    producer.complete(Completion{});
    damage(fresh);
    return consumer.look(1, seen) == CompletionConsumer::Look::kCorrupt;
  };
  EXPECT_TRUE(corrupt([](Channel& c) { c.header().completion_tail = 2; })) << "beyond what was published";
  EXPECT_TRUE(corrupt([](Channel& c) { c.header().completion_tail = ~0ULL; }));
  EXPECT_TRUE(corrupt([](Channel& c) { c.completion(0).position = 1; }));
  EXPECT_TRUE(corrupt([](Channel& c) { c.completion(0).outcome = 3; }));
  EXPECT_TRUE(corrupt([](Channel& c) { c.completion(0).parts = kResultPartsMax + 1; }));
  EXPECT_TRUE(corrupt([](Channel& c) { c.completion(0).fd_count = 65; }));
  EXPECT_TRUE(corrupt([](Channel& c) { c.completion(0).error_bytes = 4097; }));
  EXPECT_FALSE(corrupt([](Channel&) {}));
}

// Both sides at full speed, with revokes racing claims: each job is run by the worker or won back by the
// supervisor, never both, never neither; each position is completed once, in order; nobody sleeps for ever.
TEST_F(SubmissionRing, EveryJobIsRunOrRevokedExactlyOnce) {
  constexpr std::uint64_t kJobs = kThreadSanitizer ? 50'000 : 1'000'000;
  std::vector<std::uint8_t> ran(kJobs, 0);  // written by the worker only, read after join
  std::vector<std::uint8_t> revoked(kJobs, 0);
  ChannelHeader& header = channel_.header();
  std::atomic<std::uint32_t> answers_bell{0};  // stands for the eventfd

  std::thread worker([&] {
    for (;;) {
      const bool retire = header.lifecycle.load() != 0;
      const auto claim = consumer_.claim();
      if (!claim) {
        if (retire) return;
        wait_for_submission(header, consumer_.position(), 0);
        continue;
      }
      if (!claim->revoked) ++ran[claim->submission.job_id];
      complete(claim->position, claim->revoked ? Outcome::kSkipped : Outcome::kResult);
      if (header.supervisor_sleeping.exchange(0) != 0) {
        answers_bell.fetch_add(1);
        answers_bell.notify_one();
      }
    }
  });

  std::minstd_rand random(7);
  std::uint64_t skipped = 0;
  while (completions_.consumed() < kJobs) {
    Completion completion;
    while (completions_.look(producer_.next(), completion) == CompletionConsumer::Look::kOne) {
      ASSERT_EQ(completion.position, completions_.consumed());
      if (completion.outcome == static_cast<std::uint32_t>(Outcome::kSkipped)) ++skipped;
      completions_.pop();
    }
    while (producer_.next() < kJobs && producer_.next() - completions_.consumed() < 8) {
      producer_.publish({.job_id = producer_.next()});
      ring_worker(header);
      if (random() % 4 == 0) {
        const std::uint64_t victim = producer_.next() - 1;
        if (producer_.revoke(victim)) revoked[victim] = 1;
      }
    }
    if (completions_.consumed() == producer_.next()) continue;
    const std::uint32_t bell = answers_bell.load();
    if (prepare_supervisor_sleep(header, {.completions = completions_.consumed()})) answers_bell.wait(bell);
    supervisor_awake(header);
  }
  header.lifecycle.store(1);
  ring_worker(header);
  worker.join();
  std::uint64_t lost = 0;
  std::uint64_t won_back = 0;
  for (std::uint64_t i = 0; i < kJobs; ++i) {
    lost += ran[i] + revoked[i] != 1 ? 1U : 0U;
    won_back += revoked[i];
  }
  EXPECT_EQ(lost, 0U);
  EXPECT_EQ(skipped, won_back);
}

}  // namespace
}  // namespace quern::ipc
