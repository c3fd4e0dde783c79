// Killed at every instruction. A worker that runs a job, and a template that gives birth to a worker, are
// stepped through instruction by instruction and killed with SIGKILL after k steps, for every k. Whatever
// the k: the job gets one answer, the pool comes back to its size, and the supervisor holds what it held.
//
// Without QUERN_LONG=1 in the environment, k are those around each shared word's change and each system
// call, and a sample of the others; QUERN_SEED repeats one.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>
#include <condition_variable>
#include <cstring>
#include <fstream>
#include <mutex>
#include <optional>
#include <random>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "common/sanitizer.h"
#include "ipc/channel.h"
#include "ipc/submission_ring.h"
#include "tests/fault/tracee.h"
#include "tests/integration/server.h"

namespace quern::test {
namespace {

using client::Job;
using client::Part;

// Steps before and after each interesting one that are kill points in every run.
constexpr std::size_t kWindow = 20;

bool exhaustive() { return ::getenv("QUERN_LONG") != nullptr; }

std::uint64_t seed() {
  const char* given = ::getenv("QUERN_SEED");
  return given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
}

// Why nothing can be stepped here; empty when it can.
std::string why_not() {
  if (kSanitized) return "a sanitizer's instructions are not the worker's";
  const pid_t child = ::fork();
  if (child < 0) return "no process can be made";
  if (child == 0) {
    for (;;) ::pause();
  }
  auto tracee = Tracee::seize(child);
  const std::string reason = tracee ? "" : "tracing is not allowed here: " + to_string(tracee.error());
  if (tracee) {
    tracee->kill();
  } else {
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
  }
  return reason;
}

bool asleep_in(pid_t pid, long call) {
  long now = -1;
  return (std::ifstream("/proc/" + std::to_string(pid) + "/syscall") >> now) && now == call;
}

// ---- Where to kill ---------------------------------------------------------------------------------

std::vector<std::size_t> kill_points(std::size_t steps, const std::set<std::size_t>& interesting,
                                     std::size_t sample_size) {
  std::set<std::size_t> points;
  if (exhaustive()) {
    for (std::size_t k = 0; k <= steps; ++k) points.insert(k);
  } else {
    for (const std::size_t step : interesting) {
      const std::size_t first = step > kWindow ? step - kWindow : 0;
      for (std::size_t k = first; k <= std::min(step + kWindow, steps); ++k) points.insert(k);
    }
    const std::size_t stride = std::max<std::size_t>(1, steps / sample_size);
    const std::uint64_t chosen = seed();
    fmt::print("single step: QUERN_SEED={}\n", chosen);
    for (std::size_t k = chosen % stride; k <= steps; k += stride) points.insert(k);
  }
  return {points.begin(), points.end()};
}

// ---- The server, and what its jobs got -------------------------------------------------------------

// What became of the jobs, told by the client's thread.
class Answers {
 public:
  struct Answer {
    int times = 0;
    bool right = false;
    std::uint32_t attempts = 0;
    std::string error{};
  };

  // The answer to job number `job`, waited for; as it is when none comes.
  Answer wait(std::size_t job) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, 60s, [&] { return answers_[job].times > 0; });
    return answers_[job];
  }
  std::size_t expect() {
    const std::lock_guard lock(mutex_);
    answers_.emplace_back();
    return answers_.size() - 1;
  }
  void tell(std::size_t job, const Result<client::JobResult>& result, const std::string& expected) {
    const std::lock_guard lock(mutex_);
    Answer& answer = answers_[job];
    ++answer.times;
    if (result) {
      answer.right = result->parts.size() == 1 && result->parts[0].text() == expected;
      answer.attempts = result->info.attempts;
    } else {
      answer.error = to_string(result.error());
    }
    changed_.notify_all();
  }
  struct Totals {
    std::size_t jobs = 0;
    std::size_t answers = 0;
    std::size_t lost = 0;
    std::size_t twice = 0;
  };
  Totals totals() {
    const std::lock_guard lock(mutex_);
    Totals totals{.jobs = answers_.size()};
    for (const Answer& answer : answers_) {
      totals.answers += static_cast<std::size_t>(answer.times);
      totals.lost += answer.times == 0 ? 1U : 0U;
      totals.twice += answer.times > 1 ? 1U : 0U;
    }
    return totals;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Answer> answers_;
};

// What a worker that is stepped has behind it. Its first job also binds symbols and touches fresh pages.
enum class JobsDone { kNone, kOne };

// A pool of one debug worker, and two connections that stay: a job's and an operator's.
class OneWorker {
 public:
  OneWorker() {
    EXPECT_TRUE(client_.ping());
    (void)run();
    EXPECT_TRUE(eventually([&] { return idle_worker() > 0; }));
    before_ = server_.holdings();
  }

  [[nodiscard]] const Server& server() const { return server_; }
  [[nodiscard]] Answers& answers() { return answers_; }
  [[nodiscard]] const Holdings& before() const { return before_; }

  // Every job's bytes are its own and as long as any other's.
  std::size_t submit() {
    const std::size_t number = answers_.expect();
    std::string text = fmt::format("job {:08}", number);
    client_.submit(
        {.kind = "debug.echo", .parts = {Part::copy(text)}},
        [this, number, text](const Result<client::JobResult>& result) { answers_.tell(number, result, text); });
    return number;
  }
  Answers::Answer run() { return answers_.wait(submit()); }

  // The pid of the only worker, when it is idle and nothing is queued or running; -1 else.
  [[nodiscard]] pid_t idle_worker() {
    const boost::json::object pool = operator_.pool();
    const auto& workers = pool.at("workers").as_array();
    if (pool.at("queued").to_number<int>() != 0 || pool.at("running").to_number<int>() != 0) return -1;
    if (workers.size() != 1 || workers[0].at("state").as_string() != "idle") return -1;
    jobs_done_ = workers[0].at("jobs_done").to_number<std::uint64_t>();
    return workers[0].at("pid").to_number<pid_t>();
  }

  // An idle worker other than `gone`, with nothing of `gone` left behind. Throws when it does not come to that: what is
  // returned is killed, and kill(-1) would end every process there is.
  [[nodiscard]] pid_t settled_without(pid_t gone) {
    pid_t worker = -1;
    Holdings now;
    const bool settled = eventually([&] {
      worker = idle_worker();
      if (worker <= 0 || worker == gone) return false;
      now = server_.holdings();
      return now == before_;
    });
    EXPECT_TRUE(settled) << "worker " << worker << ", before " << gone << "\nheld before: " << before_
                         << "\nholds now:   " << now << "\n"
                         << boost::json::serialize(operator_.pool());
    if (!settled) throw std::runtime_error("the pool does not settle");
    return worker;
  }

  // As above, and it has run no job, or one, so that each way through a job is the same way.
  [[nodiscard]] pid_t worker_with(JobsDone wanted, pid_t gone) {
    pid_t worker = settled_without(gone);
    if (wanted == JobsDone::kOne && jobs_done_ == 0) {
      (void)run();
    } else if (wanted == JobsDone::kNone && jobs_done_ > 0) {
      ::kill(worker, SIGKILL);
      worker = settled_without(worker);
    }
    return worker;
  }

  void report(const char* who, std::size_t kill_points, std::size_t steps) {
    EXPECT_TRUE(client_.ping()) << "a second answer to a job would have come before this one";
    const Answers::Totals totals = answers_.totals();
    fmt::print("single step: {}: {} instructions of {} killed at, {} jobs, {} answers, {} lost, {} double\n", who,
               kill_points, steps, totals.jobs, totals.answers, totals.lost, totals.twice);
    EXPECT_EQ(totals.answers, totals.jobs);
    EXPECT_EQ(totals.lost, 0U);
    EXPECT_EQ(totals.twice, 0U);
    const boost::json::object pool = operator_.pool();
    EXPECT_EQ(pool.at("accepted").to_number<std::size_t>(), totals.jobs);
    EXPECT_EQ(pool.at("succeeded").to_number<std::size_t>(), totals.jobs);
  }

 private:
  SameAddresses same_addresses_;
  // A worker that is stepped is slow; it must not be asked where it is, nor be ended for that.
  Server server_{"[pools.debug]\nmodules = ['debug']\nworkers = 1\nslow_job_ms = 0\nrun_timeout_ms = 600000\n"};
  Answers answers_;
  client::Client client_{{.socket_path = server_.socket_path(), .name = "test"}};
  Operator operator_{server_};
  Holdings before_;
  std::uint64_t jobs_done_ = 0;
};

// ---- The worker's shared words, seen from outside --------------------------------------------------

class ChannelView {
 public:
  explicit ChannelView(const Tracee& worker) : worker_(worker) {
    std::ifstream maps("/proc/" + std::to_string(worker.pid()) + "/maps");
    for (std::string line; std::getline(maps, line);) {
      if (line.find("/memfd:quern-channel") != std::string::npos) address_ = std::stoull(line, nullptr, 16);
    }
    EXPECT_NE(address_, 0U) << "no channel in the worker's memory";
    slots_ = load<std::uint32_t>(offsetof(ipc::ChannelHeader, slots));
    EXPECT_GT(slots_, 0U);
  }

  struct Words {
    std::uint64_t submission_tail = 0;
    std::uint64_t descriptor = 0;
    std::uint64_t completion_tail = 0;
    std::uint32_t worker_sleeping = 0;
    std::uint32_t supervisor_sleeping = 0;
    friend bool operator==(const Words&, const Words&) = default;
  };
  [[nodiscard]] Words words(std::uint64_t position) const {
    const std::uint64_t descriptor = ipc::Geometry{}.descriptors_offset() + position % slots_ * sizeof(ipc::Descriptor);
    return {.submission_tail = load<std::uint64_t>(offsetof(ipc::ChannelHeader, submission_tail)),
            .descriptor = load<std::uint64_t>(descriptor + offsetof(ipc::Descriptor, word)),
            .completion_tail = load<std::uint64_t>(offsetof(ipc::ChannelHeader, completion_tail)),
            .worker_sleeping = load<std::uint32_t>(offsetof(ipc::ChannelHeader, worker_sleeping)),
            .supervisor_sleeping = load<std::uint32_t>(offsetof(ipc::ChannelHeader, supervisor_sleeping))};
  }

  // The position that the next job will have.
  [[nodiscard]] std::uint64_t next_position() const {
    return load<std::uint64_t>(offsetof(ipc::ChannelHeader, submission_tail));
  }

 private:
  template <class T>
  [[nodiscard]] T load(std::uint64_t offset) const {
    T value{};
    EXPECT_TRUE(worker_.read(address_ + offset, std::as_writable_bytes(std::span(&value, 1))));
    return value;
  }

  const Tracee& worker_;
  std::uint64_t address_ = 0;
  std::uint64_t slots_ = 1;
};

Tracee stop_asleep(pid_t pid, long call, const SameProcessor& processor) {
  if (!eventually([&] { return asleep_in(pid, call); })) {
    throw std::runtime_error(fmt::format("process {} does not sleep", pid));
  }
  processor.bring(pid);
  auto tracee = Tracee::seize(pid);
  if (!tracee) throw std::runtime_error(to_string(tracee.error()));
  return std::move(*tracee);
}

// A path that was recorded whole: a trap that gets lost is lost by chance.
template <class Record>
Path record_whole(Record record) {
  for (int attempt = 0; attempt < 5; ++attempt) {
    if (std::optional<Path> path = record()) return std::move(*path);
  }
  throw std::runtime_error("the process' way can't be recorded: it does not stop after a step");
}

// ---- The worker ------------------------------------------------------------------------------------

void kill_worker_at_any_instruction(JobsDone jobs_done, std::size_t sample_size, const char* who) {
  OneWorker pool;
  const SameProcessor processor;

  std::set<std::size_t> interesting;
  pid_t worker = -1;
  const Path path = record_whole([&] {
    interesting.clear();
    worker = pool.worker_with(jobs_done, worker);
    auto tracee = stop_asleep(worker, SYS_futex, processor);
    const ChannelView channel(tracee);
    const std::uint64_t position = channel.next_position();
    const std::size_t job = pool.submit();
    ChannelView::Words last = channel.words(position);
    auto recorded = Path::record(tracee, SYS_futex, [&](std::size_t k) {
      const ChannelView::Words now = channel.words(position);
      if (now != last || tracee.next_call()) interesting.insert(k);
      last = now;
    });
    EXPECT_TRUE(!recorded || last.completion_tail == position + 1) << "it went through the whole job";
    EXPECT_TRUE(pool.answers().wait(job).right);
    tracee.kill();
    return recorded;
  });
  const std::size_t steps = path.size();
  ASSERT_GT(steps, 1000U);

  std::size_t killed = 0;
  std::size_t strayed = 0;
  for (const std::size_t k : kill_points(steps, interesting, sample_size)) {
    SCOPED_TRACE(fmt::format("killed after {} of {} steps", k, steps));
    worker = pool.worker_with(jobs_done, worker);
    auto tracee = stop_asleep(worker, SYS_futex, processor);
    const ChannelView channel(tracee);
    const std::uint64_t position = channel.next_position();
    const std::size_t job = pool.submit();
    if (path.follow(tracee, k)) {
      ++killed;
    } else {
      ++strayed;
    }
    const ChannelView::Words words = channel.words(position);
    tracee.kill();
    const Answers::Answer answer = pool.answers().wait(job);
    ASSERT_EQ(answer.times, 1);
    EXPECT_TRUE(answer.right) << answer.error;
    const bool begun = words.descriptor == ipc::slot_word(position, ipc::SlotState::kTaken);
    EXPECT_EQ(answer.attempts, begun && words.completion_tail == position ? 2U : 1U);
  }
  (void)pool.settled_without(worker);
  EXPECT_LE(strayed, 1 + steps / 100) << "a worker seldom takes another way";
  pool.report(who, killed, steps + 1);
}

TEST(SingleStep, AWorkerKilledAtAnyInstructionOfAJobLosesNone) {
  if (const std::string reason = why_not(); !reason.empty()) GTEST_SKIP() << reason;
  kill_worker_at_any_instruction(JobsDone::kOne, 1000, "worker");
}

TEST(SingleStep, AWorkerKilledAtAnyInstructionOfItsFirstJobLosesNone) {
  if (const std::string reason = why_not(); !reason.empty()) GTEST_SKIP() << reason;
  kill_worker_at_any_instruction(JobsDone::kNone, 600, "fresh worker");
}

// ---- The template ----------------------------------------------------------------------------------

TEST(SingleStep, ATemplateKilledAtAnyInstructionOfABirthIsReplacedAndLeavesNoProcess) {
  if (const std::string reason = why_not(); !reason.empty()) GTEST_SKIP() << reason;
  OneWorker pool;
  const SameProcessor processor;

  std::set<std::size_t> interesting;
  pid_t worker = -1;
  const Path path = record_whole([&] {
    interesting.clear();
    worker = pool.worker_with(JobsDone::kOne, worker);
    auto tracee = stop_asleep(pool.server().template_pid(), SYS_recvmsg, processor);
    ::kill(worker, SIGKILL);
    auto recorded = Path::record(tracee, SYS_recvmsg, [&](std::size_t k) {
      if (tracee.next_call()) interesting.insert(k);
    });
    if (!recorded) tracee.kill();
    return recorded;
  });
  const std::size_t steps = path.size();
  ASSERT_GT(steps, 100U);

  std::size_t killed = 0;
  std::size_t strayed = 0;
  for (const std::size_t k : kill_points(steps, interesting, 100)) {
    SCOPED_TRACE(fmt::format("killed after {} of {} steps", k, steps));
    worker = pool.worker_with(JobsDone::kOne, worker);
    const pid_t template_pid = pool.server().template_pid();
    ASSERT_GT(template_pid, 0);
    auto tracee = stop_asleep(template_pid, SYS_recvmsg, processor);
    ::kill(worker, SIGKILL);
    if (path.follow(tracee, k)) {
      ++killed;
    } else {
      ++strayed;
    }
    tracee.kill();
    const Answers::Answer answer = pool.run();
    ASSERT_EQ(answer.times, 1);
    EXPECT_TRUE(answer.right) << answer.error;
    EXPECT_TRUE(eventually([&] {
      const pid_t now = pool.server().template_pid();
      return now > 0 && now != template_pid && pool.server().children().size() == 2;
    })) << "a template and a worker, and nobody else";
  }
  worker = pool.settled_without(worker);
  ::kill(worker, SIGKILL);  // a worker born to a dead template is reaped with the next one that dies
  (void)pool.settled_without(worker);
  EXPECT_EQ(pool.server().zombies(), 0U);
  EXPECT_LE(strayed, 1 + steps / 100) << "a template seldom takes another way";
  pool.report("template", killed, steps + 1);
}

}  // namespace
}  // namespace quern::test
