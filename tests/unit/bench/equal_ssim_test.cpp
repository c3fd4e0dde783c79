// What a benchmark says of bytes at equal quality, most of all where there is no equal quality.
#include "bench/equal_ssim.h"

#include <gtest/gtest.h>

#include <vector>

namespace quern::bench {
namespace {

constexpr double kTheirBytes = 1000;
const std::vector<std::pair<double, double>> kCurve{{0.90, 800}, {0.94, 1000}, {0.96, 1400}};

TEST(EqualSsim, LiesBetweenTwoQualities) {
  const EqualSsim found = at_equal_ssim(kCurve, 0.95, kTheirBytes);
  EXPECT_EQ(found.reach, Reach::kCompared);
  EXPECT_NEAR(found.ratio, 1.2, 1e-9);
  EXPECT_TRUE(meets(found, 1.25));
  EXPECT_FALSE(meets(found, 1.05));
  EXPECT_EQ(to_string(found), "1.200 x");
}

TEST(EqualSsim, MayLieAtAnEndAndWhereQualitiesFallBack) {
  EXPECT_NEAR(at_equal_ssim(kCurve, 0.90, kTheirBytes).ratio, 0.8, 1e-9);
  EXPECT_NEAR(at_equal_ssim(kCurve, 0.96, kTheirBytes).ratio, 1.4, 1e-9);
  const std::vector<std::pair<double, double>> falling{{0.94, 1000}, {0.90, 1100}};
  EXPECT_NEAR(at_equal_ssim(falling, 0.92, kTheirBytes).ratio, 1.05, 1e-9);
}

TEST(EqualSsim, IsMetWhereEvenTheWorstIsBetter) {
  const EqualSsim found = at_equal_ssim(kCurve, 0.85, kTheirBytes);
  EXPECT_EQ(found.reach, Reach::kAlwaysBetter);
  EXPECT_TRUE(meets(found, 1.05));
  EXPECT_EQ(to_string(found), "-");
}

TEST(EqualSsim, IsMissedWhereNotEvenTheBestIsAsGood) {
  const EqualSsim found = at_equal_ssim(kCurve, 0.97, kTheirBytes);
  EXPECT_EQ(found.reach, Reach::kNeverAsGood);
  EXPECT_FALSE(meets(found, 1.05)) << "no bytes to compare are not few";
  EXPECT_EQ(to_string(found), "worse");
}

}  // namespace
}  // namespace quern::bench
