// Trees of processes: made up ones, and real ones of real workers.
#include "supervisor/process_tree.h"

#include <gmock/gmock.h>
#include <signal.h>
#include <unistd.h>

#include <map>

#include "fleet_harness.h"

namespace quern::supervisor {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

TEST(ParseStat, NamesMayHoldAnything) {
  const std::string rest = " S 7 1 1 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 998877 1000 10";
  EXPECT_EQ(parse_stat("42 (sh)" + rest), (ProcessEntry{.pid = 42, .parent = 7, .state = 'S', .started = 998877}));
  EXPECT_EQ(parse_stat("42 (a) b (c) R 1)" + rest)->parent, 7);
  EXPECT_EQ(parse_stat("42 ()" + rest)->pid, 42);
}

TEST(ParseStat, TellsWhoIsOnTheWayOut) {
  const std::string rest = " 1 0 0 0 0 0 0 0 20 0 1 0 998877 1000 10";
  EXPECT_FALSE(parse_stat("42 (sh) S 7 1 1 0 -1 4194560" + rest)->exiting);
  EXPECT_TRUE(parse_stat("42 (sh) R 7 1 1 0 -1 4194564" + rest)->exiting);
}

TEST(ParseStat, NonsenseIsNothing) {
  for (const char* text : {"", "42", "42 (sh)", "42 (sh) ", "42 (sh) S", "42 (sh) S x", "x (sh) S 1 1 1 0", ") ( ",
                           "42 (sh) S 1 1 1 0 -1"}) {
    EXPECT_FALSE(parse_stat(text)) << text;
  }
}

std::vector<pid_t> pids_of(const std::vector<ProcessEntry>& processes) {
  std::vector<pid_t> pids;
  for (const ProcessEntry& process : processes) pids.push_back(process.pid);
  return pids;
}

TEST(Descendants, ParentsComeBeforeTheirChildren) {
  const std::vector<ProcessEntry> processes{{.pid = 5, .parent = 4}, {.pid = 4, .parent = 2}, {.pid = 2, .parent = 1},
                                            {.pid = 3, .parent = 1}, {.pid = 9, .parent = 8}, {.pid = 1, .parent = 0}};
  EXPECT_THAT(pids_of(descendants(processes, 2)), ElementsAre(4, 5));
  EXPECT_THAT(pids_of(descendants(processes, 1)), UnorderedElementsAre(2, 3, 4, 5));
  EXPECT_THAT(pids_of(descendants(processes, 5)), IsEmpty());
}

TEST(Descendants, AListThatContradictsItselfEnds) {
  const std::vector<ProcessEntry> cycle{{.pid = 2, .parent = 3}, {.pid = 3, .parent = 2}, {.pid = 4, .parent = 4}};
  EXPECT_THAT(pids_of(descendants(cycle, 2)), ElementsAre(3));
  EXPECT_THAT(descendants(cycle, 4), IsEmpty());
}

// Every process that is not stopped has another child whenever it is looked at, up to a number, and a stop
// takes until the second look.
class GrowingTable final : public ProcessTable {
 public:
  std::vector<ProcessEntry> list() const override {
    const auto now = processes_;
    for (const auto& [pid, process] : now) {
      if (process.state == 'R' && next_ <= last_) add(next_++, pid);
    }
    std::vector<ProcessEntry> all;
    for (const auto& [pid, process] : processes_) all.push_back(process);
    return all;
  }
  void signal(const ProcessEntry& process, int signal) noexcept override {
    if (signal == SIGSTOP && ++stops_[process.pid] == 2) processes_.at(process.pid).state = 'T';
    if (signal == SIGKILL) {
      EXPECT_TRUE(std::ranges::none_of(processes_, [](const auto& each) { return each.second.state == 'R'; }))
          << "nothing is killed while something runs";
      processes_.at(process.pid).state = 'Z';
    }
  }
  void add(pid_t pid, pid_t parent) const {
    processes_[pid] = {.pid = pid, .parent = parent, .state = 'R', .started = 1};
  }
  [[nodiscard]] const std::map<pid_t, ProcessEntry>& processes() const { return processes_; }

 private:
  mutable std::map<pid_t, ProcessEntry> processes_;
  std::map<pid_t, int> stops_;
  mutable pid_t next_ = 11;
  pid_t last_ = 60;
};

TEST(KillTree, StopsWhatGrowsBeforeItKills) {
  GrowingTable table;
  table.add(10, 1);
  const std::size_t killed = kill_tree(table, 10);
  EXPECT_EQ(killed, 50U);
  EXPECT_EQ(table.processes().size(), killed + 1);
  for (const auto& [pid, process] : table.processes()) EXPECT_EQ(process.state, 'Z') << pid;
}

TEST(KillTree, OfNobodyIsNothing) {
  GrowingTable table;
  EXPECT_EQ(kill_tree(table, 10), 0U);
}

TEST(ProcFs, SignalsNobodyWhoOnlyHasThePid) {
  ProcFs table;
  const auto all = table.list();
  const auto self = std::ranges::find(all, ::getpid(), &ProcessEntry::pid);
  ASSERT_NE(self, all.end());
  EXPECT_EQ(self->parent, ::getppid());
  ProcessEntry earlier = *self;
  --earlier.started;
  table.signal(earlier, SIGKILL);  // or this test ends here
}

// ---- Real ones -------------------------------------------------------------------------------------

FleetOptions with_processes() {
  FleetOptions options;
  options.template_options.processes = true;
  return options;
}

// Those that run debug.fork's children: what is below `root`, in whatever session, and not yet dead.
std::vector<ProcessEntry> living_below(pid_t root) {
  auto below = descendants(ProcFs().list(), root);
  std::erase_if(below, [](const ProcessEntry& process) { return process.state == 'Z'; });
  return below;
}

class WorkerTree : public ::testing::TestWithParam<const char*> {
 protected:
  // Gives the worker its job and waits for `children` of it.
  void grow(std::size_t children) {
    job_ = &harness_.give("debug.fork", GetParam());
    worker_pid_ = job_->worker->pid();
    harness_.run_until([&] { return living_below(worker_pid_).size() == children; });
    children_ = living_below(worker_pid_);
  }
  [[nodiscard]] bool all_gone() const {
    const auto all = ProcFs().list();
    return std::ranges::none_of(children_, [&](const ProcessEntry& child) {
      return std::ranges::any_of(
          all, [&](const ProcessEntry& each) { return each.pid == child.pid && each.started == child.started; });
    });
  }
  FleetHarness harness_{with_processes()};
  Job* job_ = nullptr;
  pid_t worker_pid_ = -1;
  std::vector<ProcessEntry> children_;
};

INSTANTIATE_TEST_SUITE_P(Of, WorkerTree,
                         ::testing::Values(R"({"children":3,"ms":60000})",
                                           R"({"children":3,"ms":60000,"block_term":true})",
                                           R"({"children":3,"ms":60000,"daemonize":true,"block_term":true})"));

TEST_P(WorkerTree, IsGoneWhenTheWorkerIsKilled) {
  grow(3);
  job_->worker->kill({CauseKind::kRunTimeout, 0});
  harness_.run_until([&] { return harness_.deaths.size() == 1; });
  EXPECT_EQ(harness_.deaths[0].kind, CauseKind::kRunTimeout);
  harness_.run_until([&] { return all_gone(); });  // reaped, too
}

TEST_P(WorkerTree, IsGoneWhenTheWorkerCrashes) {
  grow(3);
  ASSERT_EQ(::kill(worker_pid_, SIGKILL), 0);
  harness_.run_until([&] { return all_gone(); });
  harness_.run_until([&] { return !harness_.serving.empty(); });
  harness_.give("debug.noop");
  harness_.run_until([&] { return harness_.answers.size() == 1; });  // its successor was left alone
  EXPECT_EQ(harness_.deaths.size(), 1U);
}

TEST_P(WorkerTree, IsGoneWhenTheFleetStops) {
  grow(3);
  harness_.stop();
  EXPECT_TRUE(all_gone());
}

TEST(Strangers, AreNotLookedForWhileABirthIsPending) {
  boost::asio::io_context io;
  ChildRegistry registry;
  ProcFs table;
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    ::pause();
    ::_exit(0);
  }
  const auto alive = [&] { return ::kill(child, 0) == 0; };
  registry.birth_asked();
  bool ended = false;
  boost::asio::co_spawn(io, end_strangers(io, registry, table), [&](std::exception_ptr) { ended = true; });
  for (int turn = 0; turn < 5; ++turn) io.run_one();
  EXPECT_TRUE(alive()) << "it may be the one that is being born";
  EXPECT_FALSE(ended);
  registry.birth_settled();
  io.run();
  EXPECT_TRUE(ended);
  EXPECT_FALSE(alive()) << "killed and reaped";
}

TEST(Strangers, OfBeforeAreSpared) {
  boost::asio::io_context io;
  ChildRegistry registry;
  ProcFs table;
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    ::pause();
    ::_exit(0);
  }
  ASSERT_TRUE(adopt_orphans(registry, table));
  boost::asio::co_spawn(io, end_strangers(io, registry, table), boost::asio::detached);
  io.run();
  EXPECT_EQ(::kill(child, SIGKILL), 0) << "it is there";
  registry.sweep_strangers();
}

}  // namespace
}  // namespace quern::supervisor
