#include "supervisor/job_queue.h"

#include <gtest/gtest.h>

#include <deque>

namespace quern::supervisor {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;

struct Queued : ::testing::Test {
  Job& job(std::uint8_t priority, std::uint64_t bytes = 1, std::uint64_t client = 1, std::int64_t accepted_ns = 0) {
    Job& made = jobs.emplace_back();
    made.id = jobs.size();
    made.priority = priority;
    made.payload_bytes = bytes;
    made.client_id = client;
    made.accepted_ns = accepted_ns;
    return made;
  }
  std::vector<std::uint64_t> drain(std::int64_t now = 0) {
    std::vector<std::uint64_t> order;
    while (!queue.empty()) order.push_back(queue.pop(now).id);
    return order;
  }
  void TearDown() override { (void)drain(); }
  std::deque<Job> jobs;
  JobQueue queue{{.jobs_max = 4, .bytes_max = 100, .aging_ns = kSecond}};
};
using JobQueueTest = Queued;
using Order = std::vector<std::uint64_t>;

TEST_F(JobQueueTest, RunsHigherPrioritiesFirstAndEqualOnesInOrder) {
  queue.push_back(job(5));
  queue.push_back(job(9));
  queue.push_back(job(5));
  queue.push_back(job(0));
  EXPECT_EQ(drain(), (Order{2, 1, 3, 4}));
}

TEST_F(JobQueueTest, WhatComesBackGoesToTheFrontOfItsPriority) {
  queue.push_back(job(5, 1, 2));
  queue.push_front(job(5));
  EXPECT_EQ(drain(), (Order{2, 1}));
}

TEST_F(JobQueueTest, ClientsOfAPriorityTakeTurns) {
  for (int i = 0; i < 3; ++i) queue.push_back(job(5, 1, 1));
  for (int i = 0; i < 2; ++i) queue.push_back(job(5, 1, 2));
  queue.push_back(job(5, 1, 3));
  EXPECT_EQ(drain(), (Order{1, 4, 6, 2, 5, 3})) << "and each client's own jobs keep their order";
}

TEST_F(JobQueueTest, AWaitingJobMovesUpAPriorityEachAgingPeriod) {
  queue.push_back(job(3, 1, 1, 0));
  queue.push_back(job(5, 1, 1, 9 * kSecond));
  EXPECT_EQ(queue.pop(9 * kSecond).id, 1U) << "nine periods on priority 3 stand above a fresh 5";
  EXPECT_EQ(queue.pop(9 * kSecond).id, 2U);
  queue.push_back(job(3, 1, 1, 0));
  queue.push_back(job(5, 1, 1, 0));
  EXPECT_EQ(queue.pop(9 * kSecond).id, 4U) << "both waited as long";
}

TEST_F(JobQueueTest, IsBoundedByCountAndBytes) {
  EXPECT_FALSE(queue.full(1, 1'000)) << "an empty queue takes any job";
  queue.push_back(job(5, 60));
  EXPECT_FALSE(queue.full(2, 40));
  EXPECT_TRUE(queue.full(2, 41));
  for (int i = 0; i < 3; ++i) queue.push_back(job(5));
  EXPECT_TRUE(queue.full(2, 0));
  EXPECT_EQ(queue.bytes(), 63U);
}

TEST_F(JobQueueTest, OneClientLeavesRoomForTheNext) {
  JobQueue wide({.jobs_max = 90, .bytes_max = 1'000'000});
  std::deque<Job*> held;
  while (!wide.full(1, 1)) wide.push_back(*held.emplace_back(&job(5, 1, 1)));
  EXPECT_EQ(held.size(), 80U) << "eight times what is free";
  EXPECT_FALSE(wide.full(2, 1));
  while (!wide.full(2, 1)) wide.push_back(*held.emplace_back(&job(5, 1, 2)));
  EXPECT_LT(held.size(), 90U) << "nor do both together";
  EXPECT_FALSE(wide.full(3, 1));
  while (!wide.empty()) (void)wide.pop(0);
}

TEST_F(JobQueueTest, ARemovedJobLeavesNothingBehind) {
  Job& middle = job(7, 10);
  middle.expected_run_ns = 5;
  queue.push_back(job(5));
  queue.push_back(middle);
  EXPECT_EQ(queue.work_ns(), 5.0);
  queue.remove(middle);
  EXPECT_EQ(queue.size(), 1U);
  EXPECT_EQ(queue.bytes(), 1U);
  EXPECT_EQ(queue.work_ns(), 0.0);
  EXPECT_EQ(drain(), Order{2}) << "the other one; priority 7 is empty again";
}

TEST_F(JobQueueTest, ALargeJobThatWaitsIsNotOvertaken) {
  queue.push_back(job(5, 60, 1));
  Job& large = job(5, 70, 2);
  Job& small = job(5, 1, 3);
  ASSERT_TRUE(queue.full(large.client_id, large.payload_bytes));
  queue.stand_in_line(large);
  EXPECT_TRUE(queue.overtakes(small)) << "there is room for it, and large was first";
  EXPECT_FALSE(queue.overtakes(large));
  queue.stand_in_line(small);
  Job& later = job(5, 1, 4);
  EXPECT_TRUE(queue.overtakes(later));
  EXPECT_FALSE(queue.overtakes(job(5, 1, kOwnClientId))) << "a health check waits for nobody";
  (void)queue.pop(0);
  EXPECT_TRUE(queue.overtakes(small)) << "the large one takes its place now";
  EXPECT_TRUE(JobQueue::leave_line(large));
  EXPECT_FALSE(JobQueue::leave_line(large));
  EXPECT_FALSE(queue.overtakes(small));
  EXPECT_TRUE(queue.overtakes(later));
  EXPECT_TRUE(JobQueue::leave_line(small));
  EXPECT_FALSE(queue.overtakes(later));
}

TEST_F(JobQueueTest, WhoEndsWhileItStandsInLineHoldsNobodyBack) {
  queue.push_back(job(5, 60, 1));
  {
    Job large;
    large.client_id = 2;
    large.payload_bytes = 70;
    queue.stand_in_line(large);
    EXPECT_TRUE(queue.overtakes(job(5, 1, 3)));
  }
  EXPECT_FALSE(queue.overtakes(job(5, 1, 3)));
}

TEST_F(JobQueueTest, WhoHasItsShareHoldsNobodyBack) {
  queue.push_back(job(5, 92, 1));
  Job& blocked = job(5, 9, 1);
  queue.stand_in_line(blocked);  // no room, so it is in line
  (void)queue.pop(0);
  queue.push_back(job(5, 82, 1));
  EXPECT_FALSE(queue.full(3, 9));
  queue.push_back(job(5, 7, 2));
  ASSERT_TRUE(queue.full(1, 9)) << "there is room for 9, but not for 9 more of this client's";
  EXPECT_FALSE(queue.overtakes(job(5, 1, 3)));
}

TEST_F(JobQueueTest, WhoWaitsForOneOfTooManyJobsStandsInNoLine) {
  for (std::uint64_t client = 1; client <= 4; ++client) queue.push_back(job(5, 1, client));
  Job& waiting = job(5, 1, 5);
  ASSERT_TRUE(queue.full(5, 1));
  queue.stand_in_line(waiting);
  (void)queue.pop(0);
  EXPECT_FALSE(queue.overtakes(job(5, 1, 6)));
}

}  // namespace
}  // namespace quern::supervisor
