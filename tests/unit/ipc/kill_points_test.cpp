// The tables "what if the worker dies here", tried: a worker in a process of its own is killed with SIGKILL
// at each step, and then thousands of times at moments that nobody chose.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <random>
#include <stdexcept>

#include "common/sanitizer.h"
#include "common/unique_fd.h"
#include "ipc/completion_ring.h"
#include "ipc/doorbell.h"
#include "ipc/submission_ring.h"

namespace quern::ipc {
namespace {

constexpr std::uint32_t kSlots = 8;

enum class Step { kBeforeClaim, kAfterClaim, kFieldsWritten, kAfterComplete, kAfterRing, kNever };

// A few microseconds of a job.
void compute() {
  for (int i = 0; i < 5'000; ++i) std::atomic_signal_fence(std::memory_order_seq_cst);
}

// What a worker does, one job after another, dying at `step` of position `victim`.
[[noreturn]] void work(int channel_fd, int eventfd, std::atomic<std::uint32_t>* ran, std::uint64_t victim, Step step) {
  (void)::prctl(PR_SET_PDEATHSIG, SIGKILL);
  const Channel channel = Channel::open(channel_fd).value();
  SubmissionConsumer submissions(channel);
  CompletionProducer completions(channel);
  const auto die_at = [&](Step here, std::uint64_t position) {
    if (here == step && position == victim) (void)::raise(SIGKILL);
  };
  for (;;) {
    die_at(Step::kBeforeClaim, submissions.position());
    const auto claim = submissions.claim();
    if (!claim) {
      wait_for_submission(channel.header(), submissions.position(), 0);
      continue;
    }
    die_at(Step::kAfterClaim, claim->position);
    if (!claim->revoked) ran[claim->submission.job_id].fetch_add(1);
    compute();
    Completion completion{};
    completion.position = claim->position;
    completion.outcome = static_cast<std::uint32_t>(claim->revoked ? Outcome::kSkipped : Outcome::kResult);
    channel.completion(claim->position) = completion;
    die_at(Step::kFieldsWritten, claim->position);
    completions.complete(completion);
    die_at(Step::kAfterComplete, claim->position);
    (void)ring_supervisor(channel.header(), eventfd);
    die_at(Step::kAfterRing, claim->position);
  }
}

// One channel, one worker process, and the supervisor's half in this one.
class Mortal {
 public:
  Mortal()
      : created_(
            Channel::create({.slots = kSlots, .input_extent_bytes = 4096, .output_extent_bytes = 4096}, 1).value()),
        ran_(static_cast<std::atomic<std::uint32_t>*>(
            ::mmap(nullptr, kRanBytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0))) {}
  ~Mortal() { ::munmap(ran_, kRanBytes); }
  Mortal(const Mortal&) = delete;

  void start(std::uint64_t victim = 0, Step step = Step::kNever) {
    pid_ = ::fork();
    if (pid_ < 0) throw std::runtime_error("fork");
    if (pid_ == 0) work(created_.fd.get(), eventfd_.get(), ran_, victim, step);
  }

  void publish() {
    producer.publish({.job_id = producer.next() % kRanMax});
    (void)ring_worker(created_.channel.header());
  }
  // Consumes what is complete.
  void drain() {
    Completion completion;
    auto look = completions.look(producer.next(), completion);
    for (; look == CompletionConsumer::Look::kOne; look = completions.look(producer.next(), completion)) {
      skipped += completion.outcome == static_cast<std::uint32_t>(Outcome::kSkipped) ? 1 : 0;
      completions.pop();
    }
    EXPECT_EQ(look, CompletionConsumer::Look::kEmpty) << "not corrupt";
  }
  void kill() const { ::kill(pid_, SIGKILL); }
  void reap() {
    int status = 0;
    ASSERT_EQ(::waitpid(pid_, &status, 0), pid_);
    ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
  }
  [[nodiscard]] std::uint32_t runs(std::uint64_t position) const { return ran_[position % kRanMax].load(); }
  [[nodiscard]] std::uint64_t in_flight() const { return producer.next() - completions.consumed(); }

 private:
  static constexpr std::size_t kRanMax = 1U << 16;
  static constexpr std::size_t kRanBytes = kRanMax * sizeof(std::atomic<std::uint32_t>);
  Channel::Created created_;
  unique_fd eventfd_{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  std::atomic<std::uint32_t>* ran_;
  pid_t pid_ = -1;

 public:
  SubmissionProducer producer{created_.channel};
  CompletionConsumer completions{created_.channel};
  std::uint64_t skipped = 0;
};

struct Verdict {
  std::uint64_t complete;
  bool victim_begun;
};

// Six jobs, the worker dies at position 3: what does the supervisor find?
Verdict after_death_at(Step step) {
  Mortal worker;
  worker.start(3, step);
  for (int i = 0; i < 6; ++i) worker.publish();
  worker.reap();
  worker.drain();
  for (std::uint64_t p = 4; p < 6; ++p) EXPECT_FALSE(worker.producer.begun(p)) << "what comes later was not touched";
  return {worker.completions.consumed(), worker.producer.begun(3)};
}

TEST(WorkerDeath, BeforeItsCasLeavesTheJobUnbegun) {
  const Verdict verdict = after_death_at(Step::kBeforeClaim);
  EXPECT_EQ(verdict.complete, 3U);
  EXPECT_FALSE(verdict.victim_begun);
}

TEST(WorkerDeath, AfterItsCasLeavesTheJobBegunAndUnanswered) {
  for (const Step step : {Step::kAfterClaim, Step::kFieldsWritten}) {
    const Verdict verdict = after_death_at(step);
    EXPECT_EQ(verdict.complete, 3U);
    EXPECT_TRUE(verdict.victim_begun);
  }
}

TEST(WorkerDeath, AfterTheTailStoreLeavesTheJobComplete) {
  for (const Step step : {Step::kAfterComplete, Step::kAfterRing}) EXPECT_EQ(after_death_at(step).complete, 4U);
}

TEST(WorkerDeath, LeavesUnbegunJobsThatCanBeTakenBack) {
  Mortal worker;
  worker.publish();
  worker.publish();
  worker.start(0, Step::kBeforeClaim);
  worker.reap();
  EXPECT_TRUE(worker.producer.revoke(0));
  EXPECT_TRUE(worker.producer.revoke(1));
  EXPECT_EQ(worker.runs(0) + worker.runs(1), 0U);
}

TEST(WorkerDeath, WhilePassingOverARevokedJobHurtsNobody) {
  for (const Step step : {Step::kAfterClaim, Step::kFieldsWritten, Step::kAfterComplete}) {
    Mortal worker;
    for (int i = 0; i < 3; ++i) worker.publish();
    ASSERT_TRUE(worker.producer.revoke(1));
    worker.start(1, step);
    worker.reap();
    worker.drain();
    EXPECT_EQ(worker.runs(0), 1U);
    EXPECT_EQ(worker.runs(1), 0U);
    EXPECT_FALSE(worker.producer.begun(2));
  }
}

// At any instruction: what is complete ran once, at most one job is begun and unanswered, and it is the
// oldest; the rest never began.
TEST(WorkerDeath, AtAnyMomentLeavesAtMostOneJobInDoubt) {
  constexpr int kDeaths = kSanitized ? 200 : 1'000;
  // On a busy machine the worker has often run out of jobs when its killer gets a turn: then it takes more deaths.
  constexpr int kDeathsMax = 20 * kDeaths;
  std::minstd_rand random(11);
  int in_doubt = 0;
  for (int death = 0; death < kDeaths || (in_doubt == 0 && death < kDeathsMax); ++death) {
    Mortal worker;
    worker.start();
    std::uint64_t revoked = 0;
    const std::uint64_t kill_after = random() % 64;
    while (worker.completions.consumed() < kill_after) {
      while (worker.in_flight() < kSlots) worker.publish();
      if (random() % 8 == 0 && worker.producer.revoke(worker.producer.next() - 1)) ++revoked;
      worker.drain();
    }
    while (worker.in_flight() < kSlots) worker.publish();
    for (std::uint64_t spin = random() % 20'000; spin > 0; --spin) std::atomic_signal_fence(std::memory_order_seq_cst);
    worker.kill();
    worker.reap();
    worker.drain();
    const std::uint64_t oldest = worker.completions.consumed();
    for (std::uint64_t p = oldest; p < worker.producer.next(); ++p) {
      const bool taken_back = worker.producer.revoke(p);
      if (p == oldest) in_doubt += taken_back ? 0 : 1;
      ASSERT_EQ(worker.runs(p) > 0 && taken_back, false) << "a job that ran can't be taken back";
      ASSERT_LE(worker.runs(p), 1U);
      ASSERT_EQ(p > oldest ? worker.runs(p) : 0U, 0U) << "a job behind the oldest never began";
    }
    std::uint64_t ran = 0;
    for (std::uint64_t p = 0; p < oldest; ++p) {
      ASSERT_LE(worker.runs(p), 1U);
      ran += worker.runs(p);
    }
    ASSERT_EQ(ran + worker.skipped, oldest) << "each answer is a run or a skip";
    ASSERT_LE(worker.skipped, revoked);
  }
  EXPECT_GT(in_doubt, 0) << "some deaths should hit a job in the middle";
}

}  // namespace
}  // namespace quern::ipc
