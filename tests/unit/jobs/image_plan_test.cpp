#include <gtest/gtest.h>

#include "tests/unit/jobs/pictures.h"
#include "worker/jobs/image/plan.h"

namespace quern::image {

void PrintTo(const Size& size, std::ostream* out) { *out << size.width << " x " << size.height; }

namespace {

Size canvas(Size source, Size asked, Fit fit, Scaling scaling = {}) {
  return make_plan(source, asked, fit, scaling).canvas;
}
Size scaled(Size source, Size asked, Fit fit, Scaling scaling = {}) {
  return make_plan(source, asked, fit, scaling).scaled;
}

constexpr Size kPhoto{2725, 2225};

// The numbers are sharp's, for the same picture.
TEST(Plan, FitsAreSharps) {
  EXPECT_EQ(canvas(kPhoto, {320, 240}, Fit::kCover), (Size{320, 240}));
  EXPECT_EQ(scaled(kPhoto, {320, 240}, Fit::kCover), (Size{320, 261}));
  EXPECT_EQ(canvas(kPhoto, {320, 240}, Fit::kContain), (Size{320, 240}));
  EXPECT_EQ(scaled(kPhoto, {320, 240}, Fit::kContain), (Size{294, 240}));
  EXPECT_EQ(canvas(kPhoto, {320, 240}, Fit::kFill), (Size{320, 240}));
  EXPECT_EQ(canvas(kPhoto, {320, 320}, Fit::kInside), (Size{320, 261}));
  EXPECT_EQ(canvas(kPhoto, {320, 320}, Fit::kOutside), (Size{392, 320}));
}

TEST(Plan, TheOtherSideFollows) {
  for (const Fit fit : {Fit::kCover, Fit::kContain, Fit::kInside, Fit::kOutside}) {
    EXPECT_EQ(canvas(kPhoto, {320, 0}, fit), (Size{320, 261}));
    EXPECT_EQ(canvas(kPhoto, {0, 320}, fit), (Size{392, 320}));
  }
  EXPECT_EQ(canvas(kPhoto, {320, 0}, Fit::kFill), (Size{320, 2225}));
  EXPECT_EQ(canvas(kPhoto, {0, 320}, Fit::kFill), (Size{2725, 320}));
}

TEST(Plan, NoSideVanishes) {
  EXPECT_EQ(canvas({10'000, 3}, {100, 0}, Fit::kCover), (Size{100, 1}));
  EXPECT_EQ(canvas({3, 10'000}, {100, 100}, Fit::kInside), (Size{1, 100}));
}

TEST(Plan, AnAskedSideIsExact) {
  for (std::uint32_t source = 1; source < 400; ++source) {
    for (std::uint32_t asked = 1; asked < 100; ++asked) {
      ASSERT_EQ(scaled({source, 7}, {asked, 0}, Fit::kCover).width, asked);
      ASSERT_EQ(scaled({source, source}, {asked, asked}, Fit::kInside), (Size{asked, asked}));
    }
  }
}

TEST(Plan, WithoutEnlargementNothingGrows) {
  const Scaling no{.enlarge = false};
  EXPECT_EQ(canvas({100, 50}, {200, 0}, Fit::kCover, no), (Size{100, 50}));
  EXPECT_EQ(canvas({100, 50}, {200, 200}, Fit::kInside, no), (Size{100, 50}));
  EXPECT_EQ(canvas({100, 50}, {80, 80}, Fit::kCover, no), (Size{80, 50}));
  EXPECT_EQ(scaled({100, 50}, {200, 20}, Fit::kFill, no), (Size{100, 20}));
  EXPECT_EQ(scaled({100, 50}, {200, 200}, Fit::kContain, no), (Size{100, 50}));
  EXPECT_EQ(canvas({100, 50}, {200, 200}, Fit::kContain, no), (Size{200, 200}));
  EXPECT_EQ(canvas({257, 113}, {0, 321}, Fit::kContain, no), (Size{257, 321}))
      << "it is padded to the side that is given";
}

TEST(Plan, WithoutReductionNothingShrinks) {
  const Scaling no{.reduce = false};
  EXPECT_EQ(canvas({100, 50}, {50, 0}, Fit::kInside, no), (Size{100, 50}));
  EXPECT_EQ(canvas({281, 229}, {0, 81}, Fit::kCover, no), (Size{281, 81})) << "it is cut to the side that is given";
  EXPECT_EQ(canvas({100, 50}, {200, 0}, Fit::kCover, no), (Size{200, 100}));
  EXPECT_EQ(canvas({100, 50}, {60, 60}, Fit::kContain, no), (Size{100, 60}));
}

TEST(Plan, NothingAskedIsNothingScaled) {
  EXPECT_EQ(make_plan({100, 50}, {}, Fit::kCover), (Plan{.scaled = {100, 50}, .canvas = {100, 50}}));
}

TEST(Plan, TheLoaderLeavesHalfAsMuchAgainAsIsNeeded) {
  const auto shrink = [](Size source, Size to, double headroom = 1.5) {
    return shrink_on_load(source, {.scaled = to, .canvas = to}, headroom);
  };
  EXPECT_EQ(shrink({1200, 1200}, {100, 100}), 8U);
  EXPECT_EQ(shrink({1199, 1200}, {100, 100}), 4U);
  EXPECT_EQ(shrink({600, 600}, {100, 100}), 4U);
  EXPECT_EQ(shrink({300, 300}, {100, 100}), 2U);
  EXPECT_EQ(shrink({299, 300}, {100, 100}), 1U);
  EXPECT_EQ(shrink({100, 100}, {4'000'000'000, 1}), 1U);
  EXPECT_EQ(shrink({1200, 1200}, {100, 100}, 3), 4U);
  EXPECT_EQ(shrink({1200, 1200}, {100, 100}, 0), 1U) << "a decoder that can't";
}

TEST(Plan, TurnedSwapsTheSides) {
  const Plan plan{.scaled = {1, 2}, .canvas = {3, 4}};
  EXPECT_EQ(as_stored(plan, 6), (Plan{.scaled = {2, 1}, .canvas = {4, 3}}));
}

TEST(Gravity, AnOddPixelIsCutBeforeAndPaddedBehind) {
  EXPECT_EQ(offset_of(5, -1, Odd::kBefore), 0);
  EXPECT_EQ(offset_of(5, 0, Odd::kBefore), 3);
  EXPECT_EQ(offset_of(5, 0, Odd::kBehind), 2);
  EXPECT_EQ(offset_of(5, 1, Odd::kBefore), 5);
  EXPECT_EQ(offset_of(-5, 0, Odd::kBefore), -2);
  EXPECT_EQ(offset_of(-5, 0, Odd::kBehind), -3);
}

// A mark in the upright picture, found again in the stored one.
TEST(Cut, IsTurnedWithThePicture) {
  const Size scaled{5, 4};
  for (int orientation = 1; orientation <= 8; ++orientation) {
    for (int x = 0; x <= 3; ++x) {
      for (int y = 0; y <= 3; ++y) {
        cv::Mat picture(cv_size(scaled), CV_8UC1, cv::Scalar(0));
        picture(cv::Rect(x, y, 2, 1)).setTo(1);
        const cv::Mat stored = stored_as(picture, orientation);
        const Cut found = as_stored({.at = {.x = x, .y = y}, .size = {2, 1}}, scaled, orientation);
        const cv::Mat cut = stored(cv::Rect({static_cast<int>(found.at.x), static_cast<int>(found.at.y)}, found.size));
        EXPECT_EQ(cv::countNonZero(cut), 2) << orientation << " " << x << " " << y;
      }
    }
  }
}

}  // namespace
}  // namespace quern::image
