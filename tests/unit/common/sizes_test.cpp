#include "common/sizes.h"

#include <gtest/gtest.h>

namespace quern {
namespace {

TEST(Sizes, ReadsBytesAndBinaryUnits) {
  EXPECT_EQ(*parse_size("4096"), 4096U);
  EXPECT_EQ(*parse_size("64KiB"), 65536U);
  EXPECT_EQ(*parse_size("256 MiB"), 256ULL << 20);
  EXPECT_EQ(*parse_size("2GiB"), 2ULL << 30);
}

TEST(Sizes, RefusesWhatIsNoSize) {
  for (const char* text : {"", "KiB", "-1", "64kb", "1.5MiB", "99999999999GiB", "64MiBs"}) {
    EXPECT_FALSE(parse_size(text)) << text;
  }
}

TEST(Sizes, WritesTheLargestUnitThatFits) {
  EXPECT_EQ(format_size(65536), "64KiB");
  EXPECT_EQ(format_size(3ULL << 19), "1.5MiB");
  EXPECT_EQ(format_size(100), "100B");
  EXPECT_EQ(format_size((1000ULL << 20) + (1ULL << 19)), "1000.5MiB");
}

}  // namespace
}  // namespace quern
