#include <gmock/gmock.h>

#include <array>
#include <cmath>
#include <limits>
#include <vector>

#include "tests/unit/sdk/fake_job.h"
#include "worker/jobs/shared/histogram.h"

namespace quern::sdk {
namespace {

using jobs::Histogram;
using ::testing::ElementsAre;

template <class Number>
std::span<const std::byte> packed(const std::vector<Number>& numbers) {
  return std::as_bytes(std::span(numbers));
}

TEST(SharedAdd, AddsToOneWordAndSaysWhatWasThere) {
  std::array<std::uint64_t, 4> words{10, 20, 30, 40};
  FakeJob job(find_kind("shared.add"), R"({"word":"u64","index":2,"add":-5})");
  job.add_shared(words).run();
  EXPECT_THAT(words, ElementsAre(10, 20, 25, 40));
  EXPECT_EQ(job.text(), "30\n");
}

TEST(SharedAdd, TakesFractionsForFractionsOnly) {
  std::array<std::uint64_t, 1> words{};
  FakeJob fraction(find_kind("shared.add"), R"({"word":"f64","add":0.5})");
  fraction.add_shared(words).run();
  EXPECT_EQ(std::bit_cast<double>(words[0]), 0.5);
  FakeJob integer(find_kind("shared.add"), R"({"add":0.5})");
  EXPECT_THROW(integer.add_shared(words).run(), JobError);
}

TEST(SharedAdd, StaysInsideTheBuffer) {
  std::array<std::uint64_t, 2> words{};
  for (const char* params :
       {R"({"index":4})", R"({"word":"u64","index":2})", R"({"word":"f64","index":1000000000000})"}) {
    FakeJob job(find_kind("shared.add"), params);
    EXPECT_THROW(job.add_shared(words).run(), JobError) << params;
  }
  EXPECT_THAT(words, ElementsAre(0, 0));
}

TEST(StatsHistogram, CountsEachNumberOnce) {
  std::array<std::uint64_t, 7> words{};  // four bins of 10
  const std::vector<double> numbers{0,
                                    9.99,
                                    10,
                                    25,
                                    39.999,
                                    40,
                                    -0.01,
                                    std::nan(""),
                                    std::numeric_limits<double>::infinity(),
                                    -std::numeric_limits<double>::infinity()};
  FakeJob job(find_kind("stats.histogram"), R"({"type":"f64","min":0,"max":40})");
  job.add_input(packed(numbers)).add_shared(words).run();
  EXPECT_THAT(words, ElementsAre(10, 2, 3, 2, 1, 1, 1));
}

TEST(StatsHistogram, AddsToWhatOthersHaveCounted) {
  std::array<std::uint64_t, 5> words{100, 0, 0, 60, 40};
  FakeJob job(find_kind("stats.histogram"));
  job.add_input(std::string_view("\x00\x7f\x80\xff", 4)).add_shared(words).run();
  EXPECT_THAT(words, ElementsAre(104, 0, 0, 62, 42));
}

TEST(StatsHistogram, ReadsEveryTypeFromAnyAddress) {
  const auto first_bin = [](const char* type, std::span<const std::byte> numbers) {
    std::vector<std::byte> shifted(numbers.size() + 1);
    std::ranges::copy(numbers, shifted.begin() + 1);
    std::array<std::uint64_t, 4> words{};
    FakeJob job(find_kind("stats.histogram"), std::string(R"({"min":1,"max":2,"type":")") + type + "\"}");
    job.add_input(std::span<const std::byte>(shifted).subspan(1)).add_shared(words).run();
    return words[3];
  };
  EXPECT_EQ(first_bin("u8", packed<std::uint8_t>({1, 2})), 1U);
  EXPECT_EQ(first_bin("u16", packed<std::uint16_t>({1, 257})), 1U);
  EXPECT_EQ(first_bin("u32", packed<std::uint32_t>({1, 1, 65537})), 2U);
  EXPECT_EQ(first_bin("f32", packed<float>({1.5F, 0.5F})), 1U);
  EXPECT_EQ(first_bin("f64", packed<double>({1.25, 1.5, 1.75})), 3U);
}

TEST(StatsHistogram, RefusesWhatItCantCount) {
  std::array<std::uint64_t, 4> words{};
  const auto fails = [&](const char* params, std::string_view input, std::span<std::uint64_t> buffer) {
    FakeJob job(find_kind("stats.histogram"), params);
    EXPECT_THROW(job.add_input(input).add_shared(buffer).run(), JobError) << params;
  };
  fails(R"({"type":"u32"})", "12345", words);
  fails(R"({"min":5,"max":5})", "1", words);
  fails(R"({"min":-1e308,"max":1e308})", "1", words);
  fails("{}", "1", std::span(words).first(3));
  EXPECT_THAT(words, ElementsAre(0, 0, 0, 0));
}

TEST(StatsHistogram, StopsWhenAsked) {
  std::array<std::uint64_t, 4> words{};
  FakeJob job(find_kind("stats.histogram"));
  job.cancelled = true;
  EXPECT_THROW(job.add_input("123").add_shared(words).run(), JobError);
  EXPECT_EQ(words[0], 0U);
}

}  // namespace
}  // namespace quern::sdk
