// TIFF: what is stored in ways that no other format has.
#include <gmock/gmock.h>
#include <tiffio.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "tests/unit/jobs/pictures.h"
#include "tests/unit/sdk/fake_job.h"
#include "worker/jobs/image/codecs/tiff_file.h"

namespace quern::image {
namespace {

using sdk::FakeJob;

struct Stored {
  int bits = 8;
  int samples = 3;
  int photometric = PHOTOMETRIC_RGB;
  int compression = COMPRESSION_NONE;
  int orientation = 1;
  int extra = -1;  // kind of the first extra sample
  int extra_count = 1;
  bool tiled = false;  // of 16 x 16
  const char* mode = "w";
};

// One of libtiff's tiles, the picture's bytes in its first rows; what lies outside is 0.
std::vector<std::uint8_t> tile_of(const std::vector<std::uint8_t>& rows, int width, int height, cv::Point at) {
  constexpr int kSide = 16;
  const std::size_t pixel = rows.size() / static_cast<std::size_t>(width * height);
  std::vector<std::uint8_t> tile(kSide * kSide * pixel);
  for (int y = at.y; y < std::min(at.y + kSide, height); ++y) {
    const auto bytes = static_cast<std::size_t>(std::min(kSide, width - at.x)) * pixel;
    std::memcpy(&tile[static_cast<std::size_t>(kSide * (y - at.y)) * pixel],
                &rows[static_cast<std::size_t>(y * width + at.x) * pixel], bytes);
  }
  return tile;
}

// Through a file: libtiff's own way of writing.
File tiff_of(int width, int height, const Stored& stored, const std::vector<std::uint8_t>& rows) {
  const std::string path = testing::TempDir() + "/quern-" + std::to_string(::getpid()) + ".tiff";
  TIFF* tiff = TIFFOpen(path.c_str(), stored.mode);
  TIFFSetField(tiff, TIFFTAG_IMAGEWIDTH, width);
  TIFFSetField(tiff, TIFFTAG_IMAGELENGTH, height);
  TIFFSetField(tiff, TIFFTAG_BITSPERSAMPLE, stored.bits);
  TIFFSetField(tiff, TIFFTAG_SAMPLESPERPIXEL, stored.samples);
  TIFFSetField(tiff, TIFFTAG_PHOTOMETRIC, stored.photometric);
  TIFFSetField(tiff, TIFFTAG_COMPRESSION, stored.compression);
  TIFFSetField(tiff, TIFFTAG_PLANARCONFIG, PLANARCONFIG_CONTIG);
  TIFFSetField(tiff, TIFFTAG_ORIENTATION, stored.orientation);
  if (stored.photometric == PHOTOMETRIC_SEPARATED) TIFFSetField(tiff, TIFFTAG_INKSET, INKSET_CMYK);
  if (stored.extra >= 0) {
    std::vector<std::uint16_t> kinds(static_cast<std::size_t>(stored.extra_count), EXTRASAMPLE_UNSPECIFIED);
    kinds[0] = static_cast<std::uint16_t>(stored.extra);
    TIFFSetField(tiff, TIFFTAG_EXTRASAMPLES, stored.extra_count, kinds.data());
  }
  std::vector<std::uint8_t> copy = rows;
  if (stored.tiled) {
    TIFFSetField(tiff, TIFFTAG_TILEWIDTH, 16);
    TIFFSetField(tiff, TIFFTAG_TILELENGTH, 16);
    for (int y = 0; y < height; y += 16) {
      for (int x = 0; x < width; x += 16) {
        std::vector<std::uint8_t> tile = tile_of(rows, width, height, {x, y});
        TIFFWriteTile(tiff, tile.data(), static_cast<std::uint32_t>(x), static_cast<std::uint32_t>(y), 0, 0);
      }
    }
  } else {
    const std::size_t row_bytes = rows.size() / static_cast<std::size_t>(height);
    for (int y = 0; y < height; ++y) {
      TIFFWriteScanline(tiff, copy.data() + static_cast<std::size_t>(y) * row_bytes, static_cast<std::uint32_t>(y));
    }
  }
  TIFFClose(tiff);
  std::ifstream in(path, std::ios::binary);
  const std::vector<char> read((std::istreambuf_iterator<char>(in)), {});
  std::filesystem::remove(path);
  const auto bytes = std::as_bytes(std::span(read));
  return {bytes.begin(), bytes.end()};
}

cv::Vec3b first(const File& file) { return picture_of(file).at<cv::Vec3b>(0, 0); }

TEST(Tiff, SixteenBitsAreRounded) {
  // little-endian 0x8080 is 128 and 0x817f nearly 129 of 255
  EXPECT_EQ(first(tiff_of(1, 1, {.bits = 16}, {0x80, 0x80, 0x7f, 0x81, 0xff, 0xff})), cv::Vec3b(128, 129, 255));
  EXPECT_EQ(read_header(tiff_of(1, 1, {.bits = 16}, {0, 0, 0, 0, 0, 0})).depth, 16);
}

TEST(Tiff, GreyIsSpread) {
  EXPECT_EQ(first(tiff_of(1, 1, {.samples = 1, .photometric = PHOTOMETRIC_MINISBLACK}, {77})), cv::Vec3b(77, 77, 77));
  EXPECT_EQ(first(tiff_of(1, 1, {.samples = 1, .photometric = PHOTOMETRIC_MINISWHITE}, {77})),
            cv::Vec3b(178, 178, 178));
  EXPECT_EQ(first(tiff_of(8, 1, {.bits = 1, .samples = 1, .photometric = PHOTOMETRIC_MINISBLACK}, {0x80})),
            cv::Vec3b(255, 255, 255));
}

TEST(Tiff, TilesAreTheSamePicture) {
  for (const int bits : {8, 16}) {
    for (const auto& [photometric, samples, extra] :
         {std::tuple{PHOTOMETRIC_MINISBLACK, 1, -1}, std::tuple{PHOTOMETRIC_MINISWHITE, 1, -1},
          std::tuple{PHOTOMETRIC_RGB, 3, -1}, std::tuple{PHOTOMETRIC_RGB, 4, EXTRASAMPLE_ASSOCALPHA}}) {
      std::vector<std::uint8_t> rows(static_cast<std::size_t>(37 * 21 * samples * bits / 8));
      for (std::size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<std::uint8_t>(i * 37 + i / 256);
      Stored stored{.bits = bits, .samples = samples, .photometric = photometric, .extra = extra};
      const cv::Mat striped = picture_of(tiff_of(37, 21, stored, rows));
      stored.tiled = true;
      EXPECT_EQ(difference(picture_of(tiff_of(37, 21, stored, rows)), striped), 0) << bits << ' ' << photometric;
    }
  }
  EXPECT_EQ(first(tiff_of(1, 1, {.bits = 16, .samples = 1, .photometric = PHOTOMETRIC_MINISBLACK, .tiled = true},
                          {0x7f, 0x81})),
            cv::Vec3b(129, 129, 129));
  EXPECT_EQ(first(tiff_of(1, 1, {.bits = 16, .samples = 1, .photometric = PHOTOMETRIC_MINISWHITE}, {0x7f, 0x81})),
            cv::Vec3b(126, 126, 126));
}

TEST(Tiff, OfMoreThanFourGigabytesIsReadWhenItIsSmall) {
  for (const char* mode : {"w8l", "w8b", "wb", "wl"}) {
    const File file = tiff_of(2, 1, {.mode = mode}, {1, 2, 3, 4, 5, 6});
    EXPECT_EQ(picture_of(file).at<cv::Vec3b>(0, 1), cv::Vec3b(4, 5, 6)) << mode;
  }
}

TEST(Tiff, ATileOfGigabytesIsRefused) {
  const File file = tiff_of(2, 1, {.tiled = true}, {1, 2, 3, 4, 5, 6});
  const auto with_side = [&](int side) {
    File changed = file;
    for (std::size_t at = 0; at + 12 <= changed.size(); ++at) {
      for (const int tag : {TIFFTAG_TILEWIDTH, TIFFTAG_TILELENGTH}) {
        const std::uint8_t entry[] = {static_cast<std::uint8_t>(tag & 255), 1, TIFF_SHORT, 0, 1, 0, 0, 0, 16, 0};
        if (std::memcmp(&changed[at], entry, sizeof entry) == 0) std::memcpy(&changed[at + 8], &side, 2);
      }
    }
    return changed;
  };
  EXPECT_EQ(picture_of(with_side(16)).at<cv::Vec3b>(0, 1), cv::Vec3b(4, 5, 6));
  EXPECT_EQ(std::string(sdk::error_of([&] { (void)picture_of(with_side(16'384)); }).what()),
            "TIFF: its tiles are larger than the picture");
}

// Likewise where libtiff converts: its buffer is a whole strip.
TEST(Tiff, AStripOfGigabytesIsRefused) {
  File file =
      tiff_of(120, 1, {.bits = 1, .samples = 1, .photometric = PHOTOMETRIC_MINISBLACK}, std::vector<std::uint8_t>(15));
  EXPECT_EQ(picture_of(file).size(), cv::Size(120, 1));
  for (std::size_t at = 0; at + 12 <= file.size(); ++at) {
    const std::uint8_t entry[] = {TIFFTAG_SAMPLESPERPIXEL & 255, 1, TIFF_SHORT, 0, 1, 0, 0, 0, 1, 0};
    const std::uint8_t height[] = {TIFFTAG_IMAGELENGTH & 255, 1, TIFF_SHORT, 0, 1, 0, 0, 0, 1, 0};
    const std::uint16_t many = 60'000;
    if (std::memcmp(&file[at], entry, sizeof entry) == 0) std::memcpy(&file[at + 8], &many, sizeof many);
    if (std::memcmp(&file[at], height, sizeof height) == 0) std::memcpy(&file[at + 8], &many, sizeof many);
  }
  EXPECT_EQ(sdk::error_of([&] { (void)picture_of(file); }).code(), sdk::JobErrorCode::kBadInput);
}

TEST(Tiff, AlphaIsStraightOrPremultiplied) {
  const auto pixel = [](int extra) {
    const File file = tiff_of(1, 1, {.samples = 4, .extra = extra}, {100, 50, 0, 128});
    return picture_of(file).at<cv::Vec4b>(0, 0);
  };
  EXPECT_EQ(pixel(EXTRASAMPLE_UNASSALPHA), cv::Vec4b(100, 50, 0, 128));
  EXPECT_EQ(pixel(EXTRASAMPLE_ASSOCALPHA), cv::Vec4b(199, 100, 0, 128));
}

TEST(Tiff, OfSeveralExtraSamplesTheFirstIsAlpha) {
  const File file =
      tiff_of(1, 1, {.samples = 5, .extra = EXTRASAMPLE_UNASSALPHA, .extra_count = 2}, {200, 100, 50, 128, 7});
  const auto pixel = picture_of(file).at<cv::Vec4b>(0, 0);
  EXPECT_NEAR(pixel[0], 200, 1);  // libtiff multiplies, and we divide
  EXPECT_NEAR(pixel[1], 100, 1);
  EXPECT_EQ(pixel[3], 128);
}

TEST(Tiff, AlphaBesideWhiteThatIsZeroIsNotInverted) {
  const File file =
      tiff_of(1, 1, {.samples = 2, .photometric = PHOTOMETRIC_MINISWHITE, .extra = EXTRASAMPLE_UNASSALPHA}, {200, 128});
  EXPECT_EQ(picture_of(file).at<cv::Vec4b>(0, 0), cv::Vec4b(55, 55, 55, 128));
}

// What libjpeg mends in a strip, libtiff calls a warning.
TEST(Tiff, DamageInAStripsJpegIsSeen) {
  cv::Mat noise(64, 64, CV_8UC3);
  cv::randu(noise, 0, 255);
  const std::vector<std::uint8_t> rows(noise.datastart, noise.dataend);
  File file = tiff_of(64, 64, {.compression = COMPRESSION_JPEG}, rows);
  EXPECT_EQ(picture_of(file).size(), cv::Size(64, 64));
  file.at(file.size() / 2) = std::byte{0xff};
  file.at(file.size() / 2 + 1) = std::byte{0xd9};  // the end, in the middle
  EXPECT_EQ(sdk::error_of([&] { (void)picture_of(file); }).code(), sdk::JobErrorCode::kBadInput);
}

TEST(Tiff, RowsThatCantBeReadAreBlack) {
  cv::Mat noise(64, 64, CV_8UC3);
  cv::randu(noise, 100, 255);
  const std::vector<std::uint8_t> rows(noise.datastart, noise.dataend);
  File file = tiff_of(64, 64, {.compression = COMPRESSION_ADOBE_DEFLATE}, rows);
  for (std::size_t i = file.size() / 2; i < file.size() / 2 + 64; ++i) file[i] = std::byte{0xff};
  FakeJob job(sdk::find_kind("image.process"), R"({"format":"png","fail_on":"none"})");
  job.add_input(file).run();
  EXPECT_EQ(picture_of(job.bytes()).at<cv::Vec3b>(63, 63), cv::Vec3b(0, 0, 0));
}

TEST(Tiff, InksLieOnWhite) {
  const Stored inks{.samples = 4, .photometric = PHOTOMETRIC_SEPARATED};
  EXPECT_EQ(first(tiff_of(1, 1, inks, {0, 0, 0, 0})), cv::Vec3b(255, 255, 255));
  EXPECT_EQ(first(tiff_of(1, 1, inks, {255, 0, 0, 0})), cv::Vec3b(0, 255, 255));
  EXPECT_EQ(first(tiff_of(1, 1, inks, {0, 0, 0, 255})), cv::Vec3b(0, 0, 0));
}

TEST(Tiff, EveryCompressionIsTheSamePicture) {
  std::vector<std::uint8_t> rows(16 * 16 * 3);
  for (std::size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<std::uint8_t>(i * 7);
  const cv::Mat plain = picture_of(tiff_of(16, 16, {}, rows));
  EXPECT_EQ(plain.at<cv::Vec3b>(0, 1), cv::Vec3b(21, 28, 35));
  for (const int compression : {COMPRESSION_LZW, COMPRESSION_ADOBE_DEFLATE, COMPRESSION_PACKBITS}) {
    EXPECT_EQ(difference(picture_of(tiff_of(16, 16, {.compression = compression}, rows)), plain), 0) << compression;
  }
  EXPECT_EQ(difference(picture_of(tiff_of(16, 16, {.tiled = true}, rows)), plain), 0);
}

class TiffOrientation : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(All, TiffOrientation, testing::Range(1, 9));

TEST_P(TiffOrientation, IsReadAndNotAppliedTwice) {
  const cv::Mat upright = quarters(24, 16);
  const cv::Mat stored = stored_as(upright, GetParam()).clone();
  const std::vector<std::uint8_t> rows(stored.datastart, stored.dataend);
  for (const bool tiled : {false, true}) {
    const File file = tiff_of(stored.cols, stored.rows, {.orientation = GetParam(), .tiled = tiled}, rows);
    EXPECT_EQ(read_header(file).orientation, GetParam());
    FakeJob job(sdk::find_kind("image.process"), R"({"format":"png"})");
    job.add_input(file).run();
    EXPECT_EQ(difference(picture_of(job.bytes()), upright), 0);
  }
}

// A field of 16 bits.
int field_of(const File& file, std::uint32_t tag) {
  const tiff::TiffFile read(file, FailOn::kWarning);
  std::uint16_t value = 0;
  EXPECT_EQ(TIFFGetField(read.handle(), tag, &value), 1) << tag;
  return value;
}

File written(const cv::Mat& picture, const std::string& more) {
  FakeJob job(sdk::find_kind("image.process"), R"({"format":"tiff")" + more + "}");
  job.add_input(file_of(picture, Format::kPng)).run();
  return {job.bytes().begin(), job.bytes().end()};
}

TEST(Tiff, WritesEachCompression) {
  for (const auto& [more, compression] :
       {std::pair("", COMPRESSION_LZW), std::pair(R"(,"compression":"none")", COMPRESSION_NONE),
        std::pair(R"(,"compression":"lzw")", COMPRESSION_LZW),
        std::pair(R"(,"compression":"deflate")", COMPRESSION_ADOBE_DEFLATE),
        std::pair(R"(,"compression":"packbits")", COMPRESSION_PACKBITS)}) {
    for (const cv::Mat& picture : {gradient(33, 21), with_alpha_of(gradient(33, 21), 100)}) {
      const File file = written(picture, more);
      EXPECT_EQ(field_of(file, TIFFTAG_COMPRESSION), compression) << more;
      EXPECT_EQ(difference(picture_of(file), picture), 0) << more;
    }
  }
  const File jpeg = written(gradient(33, 21), R"(,"compression":"jpeg","quality":95)");
  EXPECT_EQ(field_of(jpeg, TIFFTAG_COMPRESSION), COMPRESSION_JPEG);
  EXPECT_LE(difference(picture_of(jpeg), gradient(33, 21)), 24);
}

TEST(Tiff, WritesAPredictorWhereItHelps) {
  for (const char* more : {R"(,"compression":"lzw")", R"(,"compression":"deflate")"}) {
    EXPECT_EQ(field_of(written(gradient(33, 21), more), TIFFTAG_PREDICTOR), PREDICTOR_HORIZONTAL) << more;
  }
}

}  // namespace
}  // namespace quern::image
