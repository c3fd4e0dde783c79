// The template and its workers: the real quern-worker, driven by a fake supervisor in this process.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fake_supervisor.h"
#include "ipc/memfd.h"

namespace quern::test {
namespace {

using ::testing::HasSubstr;

wire::Part text_part(std::string_view name, std::string_view text) {
  return {.name = name, .bytes = text.size(), .data = ipc::as_bytes(text)};
}

TEST(Template, AnnouncesEveryKindOfItsModules) {
  const FakeSupervisor supervisor;
  EXPECT_EQ(supervisor.load_failure(), "");
  EXPECT_EQ(supervisor.kinds().front(), "probe.echo");
  ASSERT_GE(supervisor.kinds().size(), 2U);
  EXPECT_EQ(supervisor.kinds().end()[-2], "probe.secret");
  EXPECT_EQ(supervisor.kinds().back(), "health.test") << "its own, after theirs";
  EXPECT_EQ(supervisor.canaries(), std::vector<std::string>{"health.test"});
}

TEST(Template, SaysWhyAModuleCanNotBeLoaded) {
  const auto failure_of = [](std::vector<std::string> modules) {
    FakeSupervisor supervisor(std::move(modules));
    EXPECT_EQ(supervisor.wait_for_end(), 1);
    return supervisor.load_failure();
  };
  EXPECT_THAT(failure_of({"/nowhere/absent.so"}), HasSubstr("/nowhere/absent.so"));
  EXPECT_THAT(failure_of({QUERN_NOT_A_MODULE}), HasSubstr("exports no quern_job_module_v1"));
  EXPECT_THAT(failure_of({QUERN_BROKEN_MODULES "broken-1.so"}), HasSubstr("SDK version 999"));
  EXPECT_THAT(failure_of({QUERN_BROKEN_MODULES "broken-2.so"}), HasSubstr("the font is missing"));
  EXPECT_THAT(failure_of({QUERN_PROBE_MODULE, QUERN_PROBE_MODULE}), HasSubstr("in another module"));
  EXPECT_THAT(failure_of({QUERN_BROKEN_MODULES "broken-4.so"}), HasSubstr("canary of kind probe.echo"));
  EXPECT_THAT(failure_of({QUERN_BROKEN_MODULES "broken-5.so"}), HasSubstr("kind health.test"));
}

TEST(Template, RefusesToForkWithThreads) {
  FakeSupervisor supervisor({QUERN_BROKEN_MODULES "broken-3.so"});
  EXPECT_EQ(supervisor.load_failure(), "");
  EXPECT_THROW((void)supervisor.spawn(), std::runtime_error);
  EXPECT_EQ(supervisor.wait_for_end(), 1);
}

TEST(Template, EndsWhenTheSupervisorClosesItsSocket) {
  FakeSupervisor supervisor;
  supervisor.close_control();
  EXPECT_EQ(supervisor.wait_for_end(), 0);
}

TEST(Template, ForksWorkersThatAreTheSupervisorsChildren) {
  FakeSupervisor supervisor;
  const auto first = supervisor.spawn();
  const auto second = supervisor.spawn();
  EXPECT_NE(first->pid(), second->pid());
  EXPECT_NE(first->pid(), supervisor.pid());
  first->retire();
  EXPECT_EQ(first->wait_for_end(), 0) << "waitid works on children only";
}

TEST(Template, IsOutlivedByItsWorkers) {
  FakeSupervisor supervisor;
  const auto worker = supervisor.spawn();
  supervisor.kill_template();
  EXPECT_EQ(supervisor.wait_for_end(), -SIGKILL);
  EXPECT_EQ(worker->run({.kind = supervisor.kind("probe.about"), .attempt = 3})->parts.at(0).bytes, "attempt 3");
}

TEST(Worker, AnswersWithTheParts) {
  FakeSupervisor supervisor;
  const auto worker = supervisor.spawn();
  const auto answer =
      worker->run({.kind = 0, .parts = {text_part("a", "hello"), text_part("", ""), text_part("c", "world")}});
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->outcome, ipc::Outcome::kResult);
  ASSERT_EQ(answer->parts.size(), 3U);
  EXPECT_EQ(answer->parts[0].name, "a");
  EXPECT_EQ(answer->parts[0].bytes, "hello");
  EXPECT_EQ(answer->parts[1].bytes, "");
  EXPECT_EQ(answer->parts[2].name, "c");
  EXPECT_EQ(answer->parts[2].bytes, "world");
}

TEST(Worker, AnswersInOrderThroughManyRoundsOfItsRing) {
  FakeSupervisor supervisor;
  const auto worker = supervisor.spawn();
  constexpr int kRounds = 2'000;
  for (int i = 0; i < kRounds; i += 8) {
    std::vector<std::string> texts;
    for (int j = 0; j < 8; ++j) texts.push_back(std::to_string(i + j));
    for (const std::string& text : texts) worker->submit({.kind = 0, .parts = {text_part("", text)}});
    for (const std::string& text : texts) ASSERT_EQ(worker->answer()->parts.at(0).bytes, text);
  }
}

TEST(Worker, TakesInputsAndBodiesInDescriptors) {
  FakeSupervisor supervisor;
  const auto worker = supervisor.spawn();
  const std::string large(300'000, 'x');
  const unique_fd fd = ipc::memfd_from("large", ipc::as_bytes(large)).value();
  const wire::Part in_fd{.name = "big", .place = wire::Place::kFd, .bytes = large.size()};
  const auto answer = worker->run({.kind = 0, .parts = {text_part("small", "s"), in_fd}, .fds = {fd.get()}});
  ASSERT_EQ(answer->parts.size(), 2U);
  EXPECT_EQ(answer->parts[0].bytes, "s");
  EXPECT_EQ(answer->parts[1].bytes, large);
  EXPECT_TRUE(answer->parts[1].in_fd) << "it does not fit the extent";
  const auto again =
      worker->run({.kind = 0, .parts = {text_part("inline", large), in_fd}, .fds = {fd.get()}, .body_in_fd = true});
  ASSERT_EQ(again->parts.size(), 2U);
  EXPECT_EQ(again->parts[0].bytes, large);
  EXPECT_EQ(again->parts[1].bytes, large);
}

TEST(Worker, PassesOverRevokedJobsAndTheirDescriptors) {
  FakeSupervisor supervisor;
  const auto worker = supervisor.spawn();
  const unique_fd one = ipc::memfd_from("one", ipc::as_bytes("one")).value();
  const unique_fd two = ipc::memfd_from("two", ipc::as_bytes("two")).value();
  const auto with = [](const unique_fd& fd) {
    return Call{.kind = 0, .parts = {{.place = wire::Place::kFd, .bytes = 3}}, .fds = {fd.get()}};
  };
  worker->submit({.kind = supervisor.kind("probe.wait")});  // holds the worker while the next is revoked
  const std::uint64_t revoked = worker->submit(with(one));
  worker->submit(with(two));
  ASSERT_TRUE(worker->submissions().revoke(revoked));
  worker->channel().header().cancel.store(1);  // position 0
  EXPECT_EQ(worker->answer()->error->code, ErrorCode::kCancelled);
  EXPECT_EQ(worker->answer()->outcome, ipc::Outcome::kSkipped);
  EXPECT_EQ(worker->answer()->parts.at(0).bytes, "two");
}

TEST(Worker, FinishesWhatItWasGivenBeforeItRetires) {
  FakeSupervisor supervisor;
  const auto worker = supervisor.spawn();
  for (int i = 0; i < 5; ++i) worker->submit({.kind = 0, .parts = {text_part("", "x")}});
  worker->retire();
  for (int i = 0; i < 5; ++i) EXPECT_EQ(worker->answer()->parts.at(0).bytes, "x");
  EXPECT_EQ(worker->wait_for_end(), 0);
}

TEST(Worker, ReportsItsProgress) {
  FakeSupervisor supervisor;
  const auto worker = supervisor.spawn();
  worker->submit({.kind = supervisor.kind("probe.wait")});
  ipc::ProgressView progress;
  while (!ipc::load_progress(worker->channel().header(), 0, progress)) ::usleep(100);
  EXPECT_EQ(progress.done, 1U);
  EXPECT_EQ(progress.total, 2U);
  EXPECT_EQ(progress.message_text(), "half way");
}

TEST(Worker, EndsWithTheExitCodeOrSignalOfItsModule) {
  FakeSupervisor supervisor;
  const auto end_of = [&](const std::string& params) {
    const auto worker = supervisor.spawn();
    EXPECT_FALSE(worker->run({.kind = supervisor.kind("probe.die"), .params = params}));
    return worker->wait_for_end();
  };
  EXPECT_EQ(end_of(R"({"exit":3})"), 3);
  EXPECT_EQ(end_of(R"({"exit":0})"), 0);
  for (const int signal : {SIGSEGV, SIGABRT, SIGTERM, SIGPIPE, SIGKILL, SIGRTMAX}) {
    EXPECT_EQ(end_of("{\"signal\":" + std::to_string(signal) + "}"), -signal);
  }
}

TEST(Worker, IgnoresTheTerminalsInterrupt) {
  FakeSupervisor supervisor;
  const auto worker = supervisor.spawn();
  for (const int signal : {SIGINT, SIGTERM}) {
    ASSERT_EQ(::kill(worker->pid(), signal), 0);
    ASSERT_EQ(::kill(supervisor.pid(), signal), 0);
  }
  EXPECT_TRUE(worker->run({.kind = 0}));
  EXPECT_TRUE(supervisor.spawn()->run({.kind = 0}));
}

// The supervisor that will be killed: reports its children's pids once one of its workers is in a job.
[[noreturn]] void supervise(int report) {
  try {
    FakeSupervisor supervisor;
    const auto idle = supervisor.spawn();
    const auto busy = supervisor.spawn();
    busy->submit({.kind = supervisor.kind("probe.wait")});
    ipc::ProgressView progress;
    while (!ipc::load_progress(busy->channel().header(), 0, progress)) ::usleep(100);
    (void)idle->run({.kind = 0});
    const pid_t pids[] = {supervisor.pid(), idle->pid(), busy->pid()};
    (void)!::write(report, pids, sizeof pids);
    ::pause();
  } catch (...) {
  }
  ::_exit(1);
}

TEST(Worker, DiesWithItsSupervisor) {
  ASSERT_EQ(::prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
  int report[2];
  ASSERT_EQ(::pipe2(report, O_CLOEXEC), 0);
  const unique_fd reads(report[0]);
  unique_fd writes(report[1]);
  const pid_t supervisor_pid = ::fork();
  if (supervisor_pid == 0) supervise(writes.get());
  writes.reset();
  pid_t pids[3];
  ASSERT_EQ(::read(reads.get(), pids, sizeof pids), static_cast<ssize_t>(sizeof pids));
  std::vector<unique_fd> pidfds;
  for (const pid_t pid : pids) pidfds.emplace_back(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  ASSERT_EQ(::kill(supervisor_pid, SIGKILL), 0);
  // before that they are not this process's children yet
  ASSERT_EQ(::waitpid(supervisor_pid, nullptr, 0), supervisor_pid);
  // the template may see the end of its socket first, and leave by itself
  EXPECT_THAT(wait_for_end(pidfds[0].get()), ::testing::AnyOf(0, -SIGKILL));
  EXPECT_EQ(wait_for_end(pidfds[1].get()), -SIGKILL);
  EXPECT_EQ(wait_for_end(pidfds[2].get()), -SIGKILL);
}

}  // namespace
}  // namespace quern::test
