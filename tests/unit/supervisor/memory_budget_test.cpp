#include "supervisor/memory_budget.h"

#include <gtest/gtest.h>

#include <deque>
#include <random>
#include <vector>

namespace quern::supervisor {
namespace {

// A budget of 1000 for workers with a share of 10 each.
struct Lending : ::testing::Test {
  Job& job() {
    Job& made = jobs.emplace_back();
    made.id = jobs.size();
    return made;
  }
  Job& ask(std::uint64_t bytes) {
    Job& asking = job();
    budget.ask(asking, bytes);
    return asking;
  }
  // Who gets memory now, in order.
  std::vector<std::uint64_t> grant(std::size_t workers = 1) {
    std::vector<std::uint64_t> granted;
    while (Job* next = budget.grant_next(workers)) granted.push_back(next->id);
    return granted;
  }
  void TearDown() override {
    for (Job& each : jobs) budget.release(each);
    EXPECT_EQ(budget.reserved_bytes(), 0U);
    EXPECT_EQ(budget.holders(), 0U);
    EXPECT_EQ(budget.waiting(), 0U);
  }
  std::deque<Job> jobs;
  MemoryBudget budget{1000, 10};
};
using MemoryBudgetTest = Lending;
using Order = std::vector<std::uint64_t>;

TEST_F(MemoryBudgetTest, GrantsWhatFitsAtOnce) {
  ask(400);
  ask(600);
  EXPECT_EQ(grant(2), (Order{1, 2}));
  EXPECT_EQ(budget.reserved_bytes(), 1000U);
  EXPECT_EQ(jobs[0].memory, MemoryState::kGranted);
}

TEST_F(MemoryBudgetTest, OthersWaitTheirTurn) {
  for (int i = 0; i < 3; ++i) ask(600);
  EXPECT_EQ(grant(3), (Order{1}));
  EXPECT_EQ(budget.waiting(), 2U);
  EXPECT_EQ(jobs[1].memory, MemoryState::kWaiting);
  EXPECT_TRUE(budget.release(jobs[0]));
  EXPECT_EQ(grant(3), (Order{2}));
  budget.release(jobs[1]);
  EXPECT_EQ(grant(3), (Order{3}));
}

TEST_F(MemoryBudgetTest, NobodyOvertakesALargeJob) {
  ask(500);
  ask(900);
  ask(100);
  EXPECT_EQ(grant(), (Order{1})) << "although there is room for the third";
  budget.release(jobs[0]);
  EXPECT_EQ(grant(), (Order{2, 3}));
}

TEST_F(MemoryBudgetTest, WhoGoesOutOfTheLineHoldsUpNobody) {
  ask(500);
  ask(900);
  ask(100);
  EXPECT_EQ(grant(), (Order{1}));
  EXPECT_TRUE(budget.release(jobs[1]));
  EXPECT_EQ(grant(), (Order{3}));
  EXPECT_FALSE(budget.release(jobs[1])) << "it has nothing any more";
}

TEST_F(MemoryBudgetTest, WhatIsGivenBackGoesToTheNext) {
  ask(900);
  ask(600);
  EXPECT_EQ(grant(), (Order{1}));
  budget.lower(jobs[0], 500);
  EXPECT_TRUE(grant().empty());
  budget.lower(jobs[0], 400);
  EXPECT_EQ(grant(), (Order{2}));
  budget.lower(jobs[0], 10);
  EXPECT_EQ(jobs[0].memory, MemoryState::kNone) << "no more than its worker's share";
  EXPECT_EQ(budget.reserved_bytes(), 600U);
}

TEST_F(MemoryBudgetTest, EachWorkersShareIsSpokenFor) {
  ask(500);
  ask(480);
  EXPECT_EQ(grant(5), (Order{1})) << "three others have 30";
  EXPECT_EQ(grant(4), (Order{2})) << "one of them is gone";
}

TEST_F(MemoryBudgetTest, AJobThatFitsTheBudgetAloneGetsIt) {
  ask(1000);
  ask(100);
  EXPECT_EQ(grant(1'000'000), (Order{1})) << "waiting would not make more room";
  EXPECT_TRUE(grant(1).empty());
}

TEST_F(MemoryBudgetTest, WhoAsksAnewIsLastInLine) {
  ask(900);
  ask(800);
  EXPECT_EQ(grant(), (Order{1}));
  budget.release(jobs[0]);
  budget.ask(jobs[0], 950);
  EXPECT_EQ(grant(), (Order{2}));
  budget.release(jobs[1]);
  EXPECT_EQ(grant(), (Order{1}));
}

// Jobs that ask, give back, leave and die at random: never more than the budget, nobody waits while there is nothing
// held, and everybody gets memory in the order of asking.
TEST_F(MemoryBudgetTest, HoldsUnderAnything) {
  std::mt19937 random(7);
  std::uint64_t newest_granted = 0;
  for (int step = 0; step < 20'000; ++step) {
    const std::size_t workers = 1 + random() % 8;
    if (jobs.size() < 40 || random() % 3 == 0) ask(11 + random() % 990);
    Job& any = jobs[random() % jobs.size()];
    if (random() % 2 == 0) budget.release(any);
    if (any.memory == MemoryState::kGranted && random() % 4 == 0) budget.lower(any, random() % any.memory_bytes);
    const bool alone = budget.holders() == 0;
    for (const std::uint64_t id : grant(workers)) {
      EXPECT_GT(id, newest_granted);
      newest_granted = id;
    }
    EXPECT_LE(budget.reserved_bytes(), 1000U);
    EXPECT_TRUE(!alone || budget.waiting() == 0 || budget.holders() > 0);
  }
}

}  // namespace
}  // namespace quern::supervisor
