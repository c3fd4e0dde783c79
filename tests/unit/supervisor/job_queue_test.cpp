#include "supervisor/job_queue.h"

#include <gtest/gtest.h>

#include <deque>

namespace quern::supervisor {
namespace {

struct Queued : ::testing::Test {
  Job& job(std::uint8_t priority, std::uint64_t bytes = 1) {
    Job& made = jobs.emplace_back();
    made.id = jobs.size();
    made.priority = priority;
    made.payload_bytes = bytes;
    return made;
  }
  void TearDown() override {
    while (!queue.empty()) (void)queue.pop();
  }
  std::deque<Job> jobs;
  JobQueue queue{4, 100};
};
using JobQueueTest = Queued;

TEST_F(JobQueueTest, RunsHigherPrioritiesFirstAndEqualOnesInOrder) {
  queue.push_back(job(5));
  queue.push_back(job(9));
  queue.push_back(job(5));
  queue.push_back(job(0));
  std::vector<std::uint64_t> order;
  while (!queue.empty()) order.push_back(queue.pop().id);
  EXPECT_EQ(order, (std::vector<std::uint64_t>{2, 1, 3, 4}));
}

TEST_F(JobQueueTest, WhatComesBackGoesToTheFrontOfItsPriority) {
  queue.push_back(job(5));
  queue.push_front(job(5));
  EXPECT_EQ(queue.pop().id, 2U);
}

TEST_F(JobQueueTest, IsBoundedByCountAndBytes) {
  EXPECT_FALSE(queue.full(1'000)) << "an empty queue takes any job";
  queue.push_back(job(5, 60));
  EXPECT_FALSE(queue.full(40));
  EXPECT_TRUE(queue.full(41));
  for (int i = 0; i < 3; ++i) queue.push_back(job(5));
  EXPECT_TRUE(queue.full(0));
  EXPECT_EQ(queue.bytes(), 63U);
}

TEST_F(JobQueueTest, ARemovedJobLeavesNothingBehind) {
  Job& middle = job(7, 10);
  queue.push_back(job(5));
  queue.push_back(middle);
  queue.remove(middle);
  EXPECT_EQ(queue.size(), 1U);
  EXPECT_EQ(queue.bytes(), 1U);
  EXPECT_EQ(queue.pop().id, 2U) << "the other one; priority 7 is empty again";
}

}  // namespace
}  // namespace quern::supervisor
