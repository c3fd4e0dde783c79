// BMPs, written here byte by byte: every header, depth and coding, and broken ones.
#include <gmock/gmock.h>

#include <random>

#include "tests/unit/jobs/broken_files.h"
#include "tests/unit/jobs/pictures.h"

namespace quern::image {
namespace {

using sdk::error_of;
using sdk::JobErrorCode;
using testing::HasSubstr;

// Little-endian.
class Writer {
 public:
  Writer& u8(std::uint32_t value) { return number(value, 1); }
  Writer& u16(std::uint32_t value) { return number(value, 2); }
  Writer& u32(std::uint32_t value) { return number(value, 4); }
  Writer& bytes(const std::vector<int>& values) {
    for (const int value : values) u8(static_cast<std::uint32_t>(value));
    return *this;
  }
  File file{};

 private:
  Writer& number(std::uint32_t value, int size) {
    for (int i = 0; i < size; ++i) file.push_back(static_cast<std::byte>(value >> (8 * i)));
    return *this;
  }
};

struct Bmp {
  int width = 2;
  int height = 2;
  std::uint32_t bits = 24;
  std::uint32_t compression = 0;
  std::vector<std::uint32_t> masks{};
  std::vector<std::uint32_t> palette{};  // 0xrrggbb
  std::vector<int> pixels{};
  std::uint32_t header_bytes = 40;
};

File bmp_of(const Bmp& bmp) {
  const bool core = bmp.header_bytes == 12;
  const std::size_t masks = bmp.header_bytes == 40 ? 4 * bmp.masks.size() : 0;
  const std::size_t at = 14 + bmp.header_bytes + masks + bmp.palette.size() * (core ? 3 : 4);
  Writer out;
  out.u8('B').u8('M').u32(static_cast<std::uint32_t>(at + bmp.pixels.size())).u32(0);
  out.u32(static_cast<std::uint32_t>(at)).u32(bmp.header_bytes);
  if (core) {
    out.u16(static_cast<std::uint32_t>(bmp.width)).u16(static_cast<std::uint32_t>(bmp.height)).u16(1).u16(bmp.bits);
  } else {
    out.u32(static_cast<std::uint32_t>(bmp.width)).u32(static_cast<std::uint32_t>(bmp.height)).u16(1).u16(bmp.bits);
    out.u32(bmp.compression).u32(0).u32(11811).u32(11811);
    out.u32(static_cast<std::uint32_t>(bmp.palette.size())).u32(0);
  }
  for (const std::uint32_t mask : bmp.masks) out.u32(mask);
  while (!core && out.file.size() < 14 + bmp.header_bytes) out.u8(0);
  for (const std::uint32_t color : bmp.palette) {
    out.u8(color & 255).u8(color >> 8 & 255).u8(color >> 16);
    if (!core) out.u8(0);
  }
  out.bytes(bmp.pixels);
  return out.file;
}

const Bmp kPlain{.pixels = {3, 2, 1, 6, 5, 4, 0, 0, 9, 8, 7, 12, 11, 10, 0, 0}};

std::vector<int> pixel(const cv::Mat& picture, int x, int y) {
  if (picture.channels() == 4) {
    const auto p = picture.at<cv::Vec4b>(y, x);
    return {p[0], p[1], p[2], p[3]};
  }
  const auto p = picture.at<cv::Vec3b>(y, x);
  return {p[0], p[1], p[2]};
}

using Pixel = std::vector<int>;

TEST(Bmp, RowsGoFromTheBottomUp) {
  const cv::Mat picture = picture_of(bmp_of(kPlain));
  EXPECT_EQ(pixel(picture, 0, 0), (Pixel{7, 8, 9}));
  EXPECT_EQ(pixel(picture, 1, 0), (Pixel{10, 11, 12}));
  EXPECT_EQ(pixel(picture, 0, 1), (Pixel{1, 2, 3}));
  EXPECT_EQ(pixel(picture, 1, 1), (Pixel{4, 5, 6}));
}

TEST(Bmp, ANegativeHeightGoesFromTheTopDown) {
  Bmp bmp = kPlain;
  bmp.height = -2;
  EXPECT_EQ(pixel(picture_of(bmp_of(bmp)), 0, 0), (Pixel{1, 2, 3}));
}

TEST(Bmp, TheHeaderSaysWhatItIs) {
  const Header header = read_header(bmp_of(kPlain));
  EXPECT_EQ(header.format, Format::kBmp);
  EXPECT_EQ(header.width, 2U);
  EXPECT_EQ(header.height, 2U);
  EXPECT_FALSE(header.alpha);
  EXPECT_TRUE(header.lossless);
  EXPECT_NEAR(header.density, 300, 0.1);
  EXPECT_EQ(read_header(bmp_of({.bits = 4, .palette = {0, 1}, .pixels = std::vector<int>(8)})).palette_bits, 4);
}

TEST(Bmp, EveryHeaderIsRead) {
  for (const std::uint32_t bytes : {12U, 16U, 40U, 52U, 56U, 64U, 108U, 124U}) {
    Bmp bmp = kPlain;
    bmp.header_bytes = bytes;
    File file = bmp_of(bmp);
    if (bytes == 16) {  // OS/2 2's, cut off after the bits: what bmp_of wrote behind them is in the way
      file.erase(file.begin() + 30, file.begin() + 54);
      file[10] = std::byte{30};
    }
    EXPECT_EQ(pixel(picture_of(file), 0, 1), (Pixel{1, 2, 3})) << bytes;
  }
}

TEST(Bmp, PalettesAreLookedUp) {
  const std::vector<std::uint32_t> palette{0x000000, 0x112233, 0x445566, 0x778899};
  const auto row = [&](std::uint32_t bits, std::vector<int> pixels, std::uint32_t header = 40) {
    return picture_of(bmp_of({.width = 3,
                              .height = 1,
                              .bits = bits,
                              .palette = {palette.begin(), palette.begin() + (bits == 1 ? 2 : 4)},
                              .pixels = std::move(pixels),
                              .header_bytes = header}));
  };
  EXPECT_EQ(pixel(row(1, {0x40, 0, 0, 0}), 1, 0), (Pixel{0x11, 0x22, 0x33}));
  EXPECT_EQ(pixel(row(4, {0x12, 0x30, 0, 0}), 1, 0), (Pixel{0x44, 0x55, 0x66}));
  EXPECT_EQ(pixel(row(4, {0x12, 0x30, 0, 0}), 2, 0), (Pixel{0x77, 0x88, 0x99}));
  EXPECT_EQ(pixel(row(8, {1, 2, 3, 0}), 2, 0), (Pixel{0x77, 0x88, 0x99}));
  EXPECT_EQ(pixel(row(8, {1, 2, 3, 0}, 12), 2, 0), (Pixel{0x77, 0x88, 0x99}));
}

TEST(Bmp, AColourThatThePaletteHasNotIsAnErrorOrBlack) {
  const File file = bmp_of({.width = 1, .height = 1, .bits = 8, .palette = {0xffffff}, .pixels = {1, 0, 0, 0}});
  EXPECT_THAT(error_of([&] { (void)picture_of(file); }).what(), HasSubstr("palette"));
  EXPECT_EQ(pixel(decode_forgiving(file), 0, 0), (Pixel{0, 0, 0}));
}

TEST(Bmp, SixteenBitsAreWidenedAndRounded) {
  EXPECT_EQ(pixel(picture_of(bmp_of({.width = 1, .height = 1, .bits = 16, .pixels = {0x1f, 0x40, 0, 0}})), 0, 0),
            (Pixel{132, 0, 255}));
  const Bmp masked{.width = 1,
                   .height = 1,
                   .bits = 16,
                   .compression = 3,
                   .masks = {0xf800, 0x07e0, 0x001f},
                   .pixels = {0xe0, 0x07, 0, 0}};
  EXPECT_EQ(pixel(picture_of(bmp_of(masked)), 0, 0), (Pixel{0, 255, 0}));
  EXPECT_EQ(read_header(bmp_of(masked)).depth, 6);
}

TEST(Bmp, AlphaCountsWhereItHasAMask) {
  Bmp bmp{.width = 2, .height = 1, .bits = 32, .pixels = {3, 2, 1, 9, 6, 5, 4, 8}};
  EXPECT_EQ(pixel(picture_of(bmp_of(bmp)), 0, 0), (Pixel{1, 2, 3}));
  bmp.compression = 3;
  bmp.masks = {0xff0000, 0xff00, 0xff, 0xff000000};
  bmp.header_bytes = 108;
  EXPECT_TRUE(read_header(bmp_of(bmp)).alpha);
  EXPECT_EQ(pixel(picture_of(bmp_of(bmp)), 0, 0), (Pixel{1, 2, 3, 9}));
  bmp.pixels[3] = bmp.pixels[7] = 0;
  EXPECT_EQ(pixel(picture_of(bmp_of(bmp)), 0, 0), (Pixel{1, 2, 3}));
}

TEST(Bmp, RunsAreDecoded) {
  // three of colour 1; end of the row; a literal of 3; end of the picture
  const Bmp bytes{.width = 3,
                  .bits = 8,
                  .compression = 1,
                  .palette = {0, 0x010101, 0x020202, 0x030303},
                  .pixels = {3, 1, 0, 0, 0, 3, 3, 2, 1, 0, 0, 1}};
  const cv::Mat of_bytes = picture_of(bmp_of(bytes));
  EXPECT_EQ(pixel(of_bytes, 2, 1), (Pixel{1, 1, 1}));
  EXPECT_EQ(pixel(of_bytes, 0, 0), (Pixel{3, 3, 3}));
  EXPECT_EQ(pixel(of_bytes, 2, 0), (Pixel{1, 1, 1}));
  const Bmp nibbles{.width = 3,
                    .bits = 4,
                    .compression = 2,
                    .palette = {0, 0x010101, 0x020202, 0x030303},
                    .pixels = {3, 0x12, 0, 0, 0, 3, 0x32, 0x10, 0, 1}};
  const cv::Mat of_nibbles = picture_of(bmp_of(nibbles));
  EXPECT_EQ(pixel(of_nibbles, 1, 1), (Pixel{2, 2, 2}));
  EXPECT_EQ(pixel(of_nibbles, 2, 1), (Pixel{1, 1, 1}));
  EXPECT_EQ(pixel(of_nibbles, 1, 0), (Pixel{2, 2, 2}));
}

TEST(Bmp, IsWholeWithoutItsLastPaddingAndWithoutTheMarkOfItsEnd) {
  Bmp unpadded = kPlain;
  unpadded.pixels.resize(unpadded.pixels.size() - 2);
  EXPECT_EQ(difference(picture_of(bmp_of(unpadded)), picture_of(bmp_of(kPlain))), 0);
  const Bmp unmarked{.width = 3, .height = 1, .bits = 8, .compression = 1, .palette = {0, 0x010101}, .pixels = {3, 1}};
  EXPECT_EQ(pixel(picture_of(bmp_of(unmarked)), 2, 0), (Pixel{1, 1, 1}));
}

TEST(Bmp, WhatNoRunCoversHasTheFirstColour) {
  const cv::Mat picture = picture_of(bmp_of({.width = 4,
                                             .height = 3,
                                             .bits = 8,
                                             .compression = 1,
                                             .palette = {0x0a0b0c, 0xffffff},
                                             .pixels = {0, 2, 1, 1, 1, 1, 0, 1}}));
  EXPECT_EQ(pixel(picture, 0, 0), (Pixel{10, 11, 12}));
  EXPECT_EQ(pixel(picture, 1, 1), (Pixel{255, 255, 255}));
}

TEST(Bmp, ARunBehindItsRowIsAnErrorOrCut) {
  const File file = bmp_of(
      {.width = 2, .height = 1, .bits = 8, .compression = 1, .palette = {0, 0x070707}, .pixels = {200, 1, 0, 1}});
  EXPECT_THAT(error_of([&] { (void)picture_of(file); }).what(), HasSubstr("row"));
  EXPECT_EQ(pixel(decode_forgiving(file), 1, 0), (Pixel{7, 7, 7}));
}

TEST(Bmp, WhatMakesNoSenseIsRefused) {
  const auto refused = [](const Bmp& bmp) {
    const auto error = error_of([&] { (void)picture_of(bmp_of(bmp)); });
    EXPECT_EQ(error.code(), JobErrorCode::kBadInput);
    return std::string(error.what());
  };
  EXPECT_THAT(refused({.width = 0}), HasSubstr("no pixels"));
  EXPECT_THAT(refused({.height = 0}), HasSubstr("no pixels"));
  EXPECT_THAT(refused({.width = -1}), HasSubstr("negative"));
  EXPECT_THAT(refused({.height = std::numeric_limits<int>::min()}), HasSubstr("negative"));
  EXPECT_THAT(refused({.bits = 7}), HasSubstr("7 bits"));
  EXPECT_THAT(refused({.bits = 8, .compression = 2}), HasSubstr("fit its compression"));
  EXPECT_THAT(refused({.compression = 4}), HasSubstr("wraps"));
  EXPECT_THAT(refused({.compression = 77}), HasSubstr("unknown"));
  EXPECT_THAT(refused({.height = -2, .bits = 8, .compression = 1}), HasSubstr("upside down"));
  EXPECT_THAT(refused({.header_bytes = 200}), HasSubstr("length"));
  EXPECT_THAT(refused({.bits = 32, .compression = 3, .masks = {0xff, 0xff, 0xff00}}), HasSubstr("masks"));
  EXPECT_THAT(refused({.bits = 32, .compression = 3, .masks = {0xf0f, 0, 0}}), HasSubstr("masks"));
  EXPECT_THAT(refused({.bits = 32, .compression = 3, .masks = {0, 0, 0}}), HasSubstr("masks"));
  EXPECT_THAT(refused({.bits = 16, .compression = 3, .masks = {0xff0000, 0xff00, 0xff}}), HasSubstr("masks"));
}

const std::vector<File>& every_kind() {
  static const std::vector<File> files = [] {
    std::vector<std::uint32_t> palette(16);
    for (std::uint32_t i = 0; i < 16; ++i) palette[i] = i * 0x0f0f0f;
    std::vector<int> noise(40 * 32 * 4);
    std::minstd_rand random(5);
    for (int& value : noise) value = static_cast<int>(random() % 16);
    return std::vector<File>{
        bmp_of({.width = 40, .height = 32, .bits = 1, .palette = {0, 0xffffff}, .pixels = noise, .header_bytes = 12}),
        bmp_of({.width = 40, .height = 32, .bits = 4, .palette = palette, .pixels = noise}),
        bmp_of({.width = 40, .height = 32, .bits = 8, .palette = palette, .pixels = noise}),
        bmp_of({.width = 40, .height = 32, .bits = 8, .compression = 1, .palette = palette, .pixels = noise}),
        bmp_of({.width = 40, .height = 32, .bits = 4, .compression = 2, .palette = palette, .pixels = noise}),
        bmp_of({.width = 40, .height = -32, .bits = 16, .pixels = noise}),
        bmp_of({.width = 40,
                .height = 32,
                .bits = 32,
                .compression = 3,
                .masks = {0xff0000, 0xff00, 0xff, 0xff000000},
                .pixels = noise,
                .header_bytes = 124})};
  }();
  return files;
}

TEST(Bmp, CutShortAnywhereItIsAnErrorOrAPicture) {
  const File file = bmp_of(kPlain);
  constexpr std::size_t kPadding = 2;  // of the last row: nobody misses it
  for (std::size_t size = 0; size < file.size() - kPadding; ++size) {
    const auto error = error_of([&] { (void)picture_of(std::span(file).first(size)); });
    ASSERT_EQ(error.code(), JobErrorCode::kBadInput) << size;
  }
  for (const File& each : every_kind()) expect_survives_cutting(each);
}

TEST(Bmp, AnyByteChangedIsAPictureOrAnError) {
  for (const File& each : every_kind()) expect_survives_changes(each, 4000);
}

TEST(Bmp, AHeadersClaimTakesNoMemory) {
  for (const std::uint32_t bits : {1U, 8U, 24U, 32U}) {
    expect_claim_is_free(bmp_of({.width = 60'000, .height = 60'000, .bits = bits, .pixels = {1, 2, 3, 4}}), 60'000,
                         60'000);
  }
}

TEST(Bmp, DecodingStopsWhenAsked) {
  std::vector<int> pixels(800 * 800 * 3);
  expect_decoding_stops(bmp_of({.width = 800, .height = 800, .pixels = pixels}));
}

TEST(Bmp, IsNotWritten) {
  sdk::Kind nothing{};
  const sdk::FakeJob job(nothing);
  const auto error = error_of([&] { (void)make_encoder({.format = Format::kBmp}, job); });
  EXPECT_EQ(error.code(), JobErrorCode::kInvalidArgument);
  EXPECT_EQ(error.field(), "format");
  EXPECT_THAT(error.what(), HasSubstr("no BMP is written"));
}

}  // namespace
}  // namespace quern::image
