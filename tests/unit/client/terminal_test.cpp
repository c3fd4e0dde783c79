// What reaches a terminal, and how much room it takes there.
#include "client/cli/terminal.h"

#include <gtest/gtest.h>

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

}  // namespace
}  // namespace quern::cli
