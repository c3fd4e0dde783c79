#include "supervisor/backoff.h"

#include <gtest/gtest.h>

namespace quern::supervisor {
namespace {

using std::chrono::milliseconds;

TEST(Backoff, TheFirstDeathsAreReplacedAtOnce) {
  Backoff backoff;
  for (std::uint32_t i = 0; i < Backoff::kFree; ++i) EXPECT_EQ(backoff.after_death(0.5), milliseconds(0));
  EXPECT_GT(backoff.after_death(0.5), milliseconds(0));
}

TEST(Backoff, DoublesUpToItsMost) {
  Backoff backoff;
  for (std::uint32_t i = 0; i < Backoff::kFree; ++i) (void)backoff.after_death(0.5);
  EXPECT_EQ(backoff.after_death(0.5), milliseconds(50));
  EXPECT_EQ(backoff.after_death(0.5), milliseconds(100));
  for (int i = 0; i < 100; ++i) (void)backoff.after_death(0.5);
  EXPECT_EQ(backoff.after_death(0.5), Backoff::kMost);
}

TEST(Backoff, JitterStaysWithinAQuarter) {
  Backoff low;
  Backoff high;
  for (std::uint32_t i = 0; i < Backoff::kFree + 3; ++i) {
    (void)low.after_death(0);
    (void)high.after_death(1);
  }
  EXPECT_EQ(low.delay(), milliseconds(150));
  EXPECT_EQ(high.delay(), milliseconds(250));
}

TEST(Backoff, AFinishedJobEndsTheRow) {
  Backoff backoff;
  for (int i = 0; i < 20; ++i) (void)backoff.after_death(0.5);
  backoff.reset();
  EXPECT_EQ(backoff.delay(), milliseconds(0));
  EXPECT_EQ(backoff.after_death(0.5), milliseconds(0));
}

}  // namespace
}  // namespace quern::supervisor
