#include "common/utf8.h"

#include <gtest/gtest.h>

namespace quern {
namespace {

TEST(Utf8, IsWhatRfc3629SaysItIs) {
  for (const char* good : {"a", "\xc2\x80", "\xe0\xa0\x80", "\xed\x9f\xbf", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"}) {
    EXPECT_EQ(utf8_character(good), std::string_view(good).size());
  }
  for (const char* bad : {"\x80", "\xc1\xbf", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80",
                          "\xf5\x80\x80\x80", "\xe2\x82", "\xe2\x82z"}) {
    EXPECT_EQ(utf8_character(bad), 0U);
  }
  EXPECT_EQ(utf8_character(""), 0U);
  EXPECT_EQ(valid_utf8("a\xff"
                       "b\xe2\x82"),
            "a\xef\xbf\xbd"
            "b\xef\xbf\xbd\xef\xbf\xbd");
}

}  // namespace
}  // namespace quern
