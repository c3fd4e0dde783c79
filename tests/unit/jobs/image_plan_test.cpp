#include <gtest/gtest.h>

#include "worker/jobs/image/plan.h"

namespace quern::image {

void PrintTo(const Size& size, std::ostream* out) { *out << size.width << " x " << size.height; }

namespace {

Size canvas(Size source, Size asked, Fit fit, Enlargement enlargement = Enlargement::kAllowed) {
  return make_plan(source, asked, fit, enlargement).canvas;
}
Size scaled(Size source, Size asked, Fit fit, Enlargement enlargement = Enlargement::kAllowed) {
  return make_plan(source, asked, fit, enlargement).scaled;
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
  const auto no = Enlargement::kForbidden;
  EXPECT_EQ(canvas({100, 50}, {200, 0}, Fit::kCover, no), (Size{100, 50}));
  EXPECT_EQ(canvas({100, 50}, {200, 200}, Fit::kInside, no), (Size{100, 50}));
  EXPECT_EQ(canvas({100, 50}, {80, 80}, Fit::kCover, no), (Size{80, 50}));
  EXPECT_EQ(scaled({100, 50}, {200, 20}, Fit::kFill, no), (Size{100, 20}));
  EXPECT_EQ(scaled({100, 50}, {200, 200}, Fit::kContain, no), (Size{100, 50}));
  EXPECT_EQ(canvas({100, 50}, {200, 200}, Fit::kContain, no), (Size{200, 200}));
}

TEST(Plan, TheLoaderLeavesTwiceWhatIsNeeded) {
  const auto shrink = [](Size source, Size to) { return shrink_on_load(source, {.scaled = to, .canvas = to}); };
  EXPECT_EQ(shrink({1600, 1600}, {100, 100}), 8U);
  EXPECT_EQ(shrink({1599, 1600}, {100, 100}), 4U);
  EXPECT_EQ(shrink({800, 800}, {100, 100}), 4U);
  EXPECT_EQ(shrink({400, 400}, {100, 100}), 2U);
  EXPECT_EQ(shrink({399, 400}, {100, 100}), 1U);
  EXPECT_EQ(shrink({100, 100}, {4'000'000'000, 1}), 1U);
}

TEST(Plan, TurnedSwapsTheSides) {
  const Plan plan{.scaled = {1, 2}, .canvas = {3, 4}};
  EXPECT_EQ(turned(plan), (Plan{.scaled = {2, 1}, .canvas = {4, 3}}));
}

TEST(Window, OfAWholeAxisIsAllOfIt) {
  const Window window = window_of(100, 50, 50);
  EXPECT_EQ(window.begin, 0);
  EXPECT_EQ(window.end, 100);
  EXPECT_EQ(window.scaled, 50);
  EXPECT_EQ(window.offset, 0);
  EXPECT_EQ(window.kept, 50);
}

// For any axis: what is kept lies inside of what is scaled, that inside of the source, at the place where
// scaling everything would have put it, and what lies between is not much more than what is kept.
TEST(Window, KeepsTheMiddleAndScalesLittleMore) {
  for (const std::uint32_t source : {1U, 2U, 3U, 7U, 100U, 1001U, 65'535U, 2'000'000'000U}) {
    for (const std::uint32_t grown : {1U, 2U, 10U, 333U, 5000U, 1'000'000U, 4'000'000'000U}) {
      for (const std::uint32_t canvas : {1U, 2U, 9U, 320U, 16'383U}) {
        if (grown <= canvas || (grown > source && grown / source > 16'383)) continue;
        const Window window = window_of(source, grown, canvas);
        const double factor = static_cast<double>(grown) / source;
        ASSERT_GE(window.begin, 0);
        ASSERT_LT(window.begin, window.end);
        ASSERT_LE(window.end, static_cast<std::int64_t>(source));
        ASSERT_EQ(window.kept, static_cast<int>(canvas));
        ASSERT_GE(window.offset, 0);
        ASSERT_LE(window.offset + window.kept, window.scaled);
        ASSERT_LE(window.scaled, canvas + 8 * factor + 8);
        const double middle =
            (window.begin + (window.offset + window.kept / 2.0) * (window.end - window.begin) / window.scaled);
        ASSERT_NEAR(middle * factor, grown / 2.0, 1.6 + factor * 1e-6)
            << source << " to " << grown << " cut to " << canvas;
      }
    }
  }
}

}  // namespace
}  // namespace quern::image
