// What reaches a terminal, and how much room it takes there.
#include "client/cli/terminal.h"

#include <gtest/gtest.h>

#include "client/cli/utf8.h"

namespace quern::cli {
namespace {

TEST(Printable, KeepsWhatIsTextAndNothingThatATerminalObeys) {
  EXPECT_EQ(printable("plain Größe 画像"), "plain Größe 画像");
  EXPECT_EQ(printable("a\x1b[31mb\r\n\t\x7f"), "a?[31mb????");
  EXPECT_EQ(printable("\xc2\x9b"
                      "2J"),
            "?2J")
      << "CSI as a C1 control";
  EXPECT_EQ(printable("\x9b\xff\xc0\xaf"), "????") << "bytes that are no UTF-8";
  EXPECT_EQ(printable(std::string_view("a\0b", 3)), "a?b");
}

TEST(Columns, AreCountedAsATerminalDoes) {
  EXPECT_EQ(columns_of(""), 0U);
  EXPECT_EQ(columns_of("Größe"), 5U);
  EXPECT_EQ(columns_of("画像"), 4U);
}

TEST(Cut, NeverCutsACharacter) {
  EXPECT_EQ(cut_to_columns("画像を変換", 7), "画像...");
  EXPECT_EQ(cut_to_columns("画像を変換", 6), "画...");
  EXPECT_EQ(cut_to_columns("画像を変換", 10), "画像を変換");
  EXPECT_EQ(cut_to_columns("abc", 2), "..");
  EXPECT_EQ(cut_to_columns("abc", 0), "");
  EXPECT_EQ(keep_end("photos/summer/画像.jpg", 11), "...画像.jpg");
  EXPECT_EQ(keep_end("a.jpg", 11), "a.jpg");
}

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
}  // namespace quern::cli
