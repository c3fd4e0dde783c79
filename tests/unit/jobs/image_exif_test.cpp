// EXIF: the orientation, and what image.info tells of it.
#include <gmock/gmock.h>

#include <boost/json/parse.hpp>
#include <random>

#include "tests/unit/jobs/pictures.h"
#include "worker/jobs/image/codecs/exif.h"

namespace quern::image {
namespace {

namespace json = boost::json;
using sdk::FakeJob;

// Blocks written tag by tag, of one directory or with those of details and of the place (TIFF 6.0, section 2).
class ExifWriter {
 public:
  explicit ExifWriter(ByteOrder order) : order_(order) {}

  struct Entry {
    std::uint32_t tag;
    std::uint32_t type;  // 2 text, 3 short, 4 long, 5 ratio
    std::uint32_t count;
    std::vector<std::uint32_t> numbers{};
    std::string text{};
  };
  static Entry text(std::uint32_t tag, const std::string& value) {
    return {.tag = tag, .type = 2, .count = static_cast<std::uint32_t>(value.size() + 1), .text = value + '\0'};
  }
  static Entry whole(std::uint32_t tag, std::uint32_t value, std::uint32_t type = 3) {
    return {.tag = tag, .type = type, .count = 1, .numbers = {value}};
  }
  static Entry ratio(std::uint32_t tag, std::uint32_t above, std::uint32_t below) {
    return {.tag = tag, .type = 5, .count = 1, .numbers = {above, below}};
  }

  // `main` is to have entries 0x8769 and 0x8825 where there are the others; their values are set here.
  File block(std::vector<Entry> main, const std::vector<Entry>& details = {}, const std::vector<Entry>& place = {}) {
    file_.clear();
    for (const char c : order_ == ByteOrder::kBig ? std::string("MM\0*", 4) : std::string("II*\0", 4)) byte(c);
    number(8, 4);
    const std::size_t after_main = 8 + bytes_of(main);
    for (Entry& entry : main) {
      if (entry.tag == 0x8769) entry.numbers = {static_cast<std::uint32_t>(after_main)};
      if (entry.tag == 0x8825) entry.numbers = {static_cast<std::uint32_t>(after_main + bytes_of(details))};
    }
    write(main);
    write(details);
    write(place);
    return file_;
  }

 private:
  static bool is_inside(const Entry& entry) { return entry.type == 2 ? entry.text.size() <= 4 : entry.type != 5; }
  static std::size_t bytes_of(const std::vector<Entry>& directory) {
    std::size_t bytes = 2 + 12 * directory.size() + 4;
    for (const Entry& entry : directory) {
      if (!is_inside(entry)) bytes += entry.text.size() + 4 * entry.numbers.size();
    }
    return bytes;
  }
  void byte(char c) { file_.push_back(static_cast<std::byte>(c)); }
  void number(std::uint32_t value, int bytes) {
    for (int i = 0; i < bytes; ++i) {
      byte(static_cast<char>(value >> (8 * (order_ == ByteOrder::kBig ? bytes - 1 - i : i))));
    }
  }
  void write(const std::vector<Entry>& directory) {
    std::size_t values = file_.size() + 2 + 12 * directory.size() + 4;
    number(static_cast<std::uint32_t>(directory.size()), 2);
    for (const Entry& entry : directory) {
      number(entry.tag, 2);
      number(entry.type, 2);
      number(entry.count, 4);
      if (!is_inside(entry)) {
        number(static_cast<std::uint32_t>(values), 4);
        values += entry.text.size() + 4 * entry.numbers.size();
      } else if (entry.type == 2) {
        for (std::size_t i = 0; i < 4; ++i) byte(i < entry.text.size() ? entry.text[i] : '\0');
      } else {
        number(entry.numbers.at(0), entry.type == 3 ? 2 : 4);
        if (entry.type == 3) number(0, 2);
      }
    }
    number(0, 4);
    for (const Entry& entry : directory) {
      if (is_inside(entry)) continue;
      for (const char c : entry.text) byte(c);
      for (const std::uint32_t each : entry.numbers) number(each, 4);
    }
  }

  ByteOrder order_;
  File file_{};
};

using Write = ExifWriter;

File of_a_camera(ByteOrder order, int orientation = 1) {
  return ExifWriter(order).block(
      {Write::text(0x010f, "Acme  "), Write::text(0x0110, "X-100"),
       Write::whole(0x0112, static_cast<std::uint32_t>(orientation)), Write::text(0x0131, "v1"),
       Write::text(0x0132, "2025:01:01 00:00:00"), Write::whole(0x8769, 0, 4), Write::whole(0x8825, 0, 4)},
      {Write::ratio(0x829a, 1, 250), Write::ratio(0x829d, 28, 10), Write::whole(0x8827, 400),
       Write::text(0x9003, "2024:05:17 12:30:00"), Write::ratio(0x920a, 50, 1), Write::text(0xa434, "50mm F2.8")},
      {Write::ratio(2, 52, 1)});
}

File with_block(Format format, File block) {
  for (const char c : std::string("\0\0fixE", 6)) block.insert(block.begin(), static_cast<std::byte>(c));
  return with_exif(file_of(gradient(16, 8), format), format, block);
}

TEST(Exif, TellsWhatPeopleAskFor) {
  for (const ByteOrder order : {ByteOrder::kLittle, ByteOrder::kBig}) {
    const ExifBasics basics = exif_basics(of_a_camera(order));
    EXPECT_EQ(basics.make, "Acme");
    EXPECT_EQ(basics.model, "X-100");
    EXPECT_EQ(basics.software, "v1") << "four bytes at most stand in the entry itself";
    EXPECT_EQ(basics.lens, "50mm F2.8");
    EXPECT_EQ(basics.taken, "2024:05:17 12:30:00");
    EXPECT_EQ(basics.exposure_s, 1.0 / 250);
    EXPECT_EQ(basics.f_number, 2.8);
    EXPECT_EQ(basics.focal_length_mm, 50);
    EXPECT_EQ(basics.iso, 400);
    EXPECT_TRUE(basics.has_gps);
  }
}

TEST(Exif, WhatIsNotThereIsNotTold) {
  const ExifBasics nothing = exif_basics({});
  EXPECT_EQ(nothing.make, "");
  EXPECT_FALSE(nothing.iso || nothing.f_number || nothing.has_gps);

  const ExifBasics little = exif_basics(
      ExifWriter(ByteOrder::kLittle)
          .block({Write::text(0x0132, "2025:01:01 00:00:00"), Write::whole(0x8769, 0, 4)},
                 {Write::ratio(0x829a, 1, 0), Write::text(0x829d, "2.8"), Write::whole(0x8827, 0xffff'ffff, 4)}));
  EXPECT_EQ(little.taken, "2025:01:01 00:00:00") << "when nothing says when it was taken, when it was changed";
  EXPECT_FALSE(little.exposure_s) << "a ratio to nothing";
  EXPECT_FALSE(little.f_number) << "of another type";
  EXPECT_FALSE(little.iso) << "more than any camera has";
  EXPECT_FALSE(little.has_gps);
}

TEST(Exif, TextIsPrintableAndShort) {
  const File block =
      ExifWriter(ByteOrder::kBig)
          .block({Write::text(0x010f, "caf\xc3\xa9\x1b[2J"), Write::text(0x0110, std::string(500, 'x'))});
  EXPECT_EQ(exif_basics(block).make, "caf???[2J");
  EXPECT_EQ(exif_basics(block).model, std::string(128, 'x'));
}

TEST(Exif, IsToldByInfo) {
  for (const Format format : {Format::kJpeg, Format::kPng, Format::kWebp}) {
    const File file = with_block(format, of_a_camera(ByteOrder::kBig, 6));
    FakeJob job(sdk::find_kind("image.info"), "{}");
    job.add_input(file).run();
    const json::object info = json::parse(job.text()).as_object();
    EXPECT_EQ(info.at("orientation"), 6);
    EXPECT_EQ(info.at("width"), 8) << "upright";
    const json::object& exif = info.at("exif").as_object();
    EXPECT_EQ(exif.at("model"), "X-100");
    EXPECT_EQ(exif.at("iso"), 400);
    EXPECT_EQ(exif.at("f_number"), 2.8);
    EXPECT_EQ(exif.at("has_gps"), true);
  }
}

TEST(Exif, KeptWithATurnedPictureSaysThatItIsUpright) {
  for (const ByteOrder order : {ByteOrder::kLittle, ByteOrder::kBig}) {
    File exif = of_a_camera(order, 6);
    reset_exif_orientation(exif);
    EXPECT_EQ(exif, of_a_camera(order, 1));
    const File upright = exif;
    reset_exif_orientation(exif);
    EXPECT_EQ(exif, upright);
    File cut(upright.begin(), upright.begin() + 20);
    reset_exif_orientation(cut);  // nothing to find, nothing to break
    EXPECT_TRUE(std::ranges::equal(cut, std::span(upright).first(20)));
  }
  const File file = with_block(Format::kJpeg, of_a_camera(ByteOrder::kLittle, 6));
  for (const bool turns : {true, false}) {
    FakeJob job(sdk::find_kind("image.process"),
                std::string(R"({"format":"jpeg","keep_metadata":true,"auto_orient":)") + (turns ? "true}" : "false}"));
    job.add_input(file).run();
    EXPECT_EQ(read_header(job.bytes()).orientation, turns ? 1 : 6);
    EXPECT_EQ(read_header(job.bytes()).width, turns ? 8U : 16U);
  }
}

// What is told of a block does not change with its orientation.
void expect_same_but_for_orientation(const File& exif, const File& before, int orientation) {
  EXPECT_EQ(exif_orientation(exif), orientation);
  const ExifBasics now = exif_basics(exif);
  const ExifBasics then = exif_basics(before);
  EXPECT_EQ(now.make, then.make);
  EXPECT_EQ(now.software, then.software);
  EXPECT_EQ(now.taken, then.taken);
  EXPECT_EQ(now.iso, then.iso);
  EXPECT_EQ(now.has_gps, then.has_gps);
}

TEST(Exif, SaysHowAPictureLiesWhateverItSaidBefore) {
  for (const ByteOrder order : {ByteOrder::kLittle, ByteOrder::kBig}) {
    const File without =
        ExifWriter(order).block({Write::text(0x010f, "Acme"), Write::text(0x0131, "odd"), Write::whole(0x8769, 0, 4)},
                                {Write::whole(0x8827, 400), Write::text(0x9003, "2024:05:17 12:30:00")});
    const File last = ExifWriter(order).block({Write::text(0x010f, "Acme")});
    for (const File& before : {of_a_camera(order, 3), without, last}) {
      File exif = before;
      set_exif_orientation(exif, 6);
      expect_same_but_for_orientation(exif, before, 6);
    }
  }
  File cut = of_a_camera(ByteOrder::kBig);
  cut.resize(20);
  for (File nothing : {File(), File(40), cut}) {
    set_exif_orientation(nothing, 8);
    EXPECT_EQ(exif_orientation(nothing), 8);
  }
}

// A picture that is not turned lies in its result as it did in its file, whichever of both has EXIF.
TEST(Exif, WhatIsNotTurnedAndKeepsItsMetadataSaysHowItLies) {
  const auto made = [](const File& file, const std::string& format, const std::string& more) {
    FakeJob job(sdk::find_kind("image.process"), R"({"auto_orient":false,"format":")" + format + "\"" + more + "}");
    job.add_input(file).run();
    return File(job.bytes().begin(), job.bytes().end());
  };
  const File jpeg = with_block(Format::kJpeg, of_a_camera(ByteOrder::kLittle, 6));
  for (const std::string first : {"tiff", "avif", "webp"}) {
    const File stored = made(jpeg, first, R"(,"keep_metadata":true)");
    EXPECT_EQ(read_header(stored).orientation, 6) << first;
    for (const std::string then : {"jpeg", "png", "webp", "avif", "tiff"}) {
      const Header header = read_header(made(stored, then, R"(,"keep_metadata":true)"));
      EXPECT_EQ(header.orientation, 6) << first << then;
      EXPECT_EQ(header.width, 16U);
      EXPECT_EQ(read_header(made(stored, then, "")).orientation, 1) << first << then;
    }
  }
}

TEST(Exif, NothingOutsideOfItsDirectoriesIsRead) {
  std::minstd_rand random(7);
  for (int round = 0; round < 50'000; ++round) {
    File block = of_a_camera(round % 2 == 0 ? ByteOrder::kLittle : ByteOrder::kBig);
    for (int i = 0; i < 4; ++i) block[8 + random() % (block.size() - 8)] = static_cast<std::byte>(random());
    block.resize(8 + random() % (block.size() - 7));
    block.shrink_to_fit();
    (void)exif_basics(block);  // the address sanitizer watches
    set_exif_orientation(block, 1 + round % 8);
    ASSERT_EQ(exif_orientation(block), 1 + round % 8);
    reset_exif_orientation(block);
    ASSERT_EQ(exif_orientation(block), 1);
  }
}

TEST(Exif, WhatIsMalformedIsUpright) {
  const File good = exif_block(6);
  ASSERT_EQ(exif_orientation(good), 6);
  EXPECT_EQ(exif_orientation(std::span(good).subspan(6)), 6);
  EXPECT_EQ(exif_orientation({}), 1);
  EXPECT_EQ(exif_orientation(exif_block(0)), 1);
  EXPECT_EQ(exif_orientation(exif_block(9)), 1);
  EXPECT_EQ(exif_orientation(exif_block(255)), 1);
  constexpr std::size_t kEndOfValue = 6 + 8 + 2 + 12 + 10;
  for (std::size_t size = 0; size < kEndOfValue; ++size)
    EXPECT_EQ(exif_orientation(std::span(good).first(size)), 1) << size;
}

TEST(Exif, NothingOutsideOfTheBlockIsRead) {
  std::minstd_rand random(11);
  for (int round = 0; round < 100'000; ++round) {
    File block = exif_block(3, round % 2 == 0 ? ByteOrder::kLittle : ByteOrder::kBig);
    for (int i = 0; i < 3; ++i) block[10 + random() % (block.size() - 10)] = static_cast<std::byte>(random());
    block.resize(10 + random() % (block.size() - 9));
    block.shrink_to_fit();
    const int orientation = exif_orientation(block);  // the address sanitizer watches
    ASSERT_TRUE(orientation >= 1 && orientation <= 8);
  }
}

}  // namespace
}  // namespace quern::image
