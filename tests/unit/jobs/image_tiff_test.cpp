// TIFF: what is stored in ways that no other format has.
#include <gmock/gmock.h>
#include <tiffio.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "tests/unit/jobs/pictures.h"
#include "tests/unit/sdk/fake_job.h"

namespace quern::image {
namespace {

using sdk::FakeJob;

struct Stored {
  int bits = 8;
  int samples = 3;
  int photometric = PHOTOMETRIC_RGB;
  int compression = COMPRESSION_NONE;
  int orientation = 1;
  int extra = -1;  // kind of the extra sample
  bool tiled = false;
};

// Through a file: libtiff's own way of writing.
File tiff_of(int width, int height, const Stored& stored, const std::vector<std::uint8_t>& rows) {
  const std::string path = testing::TempDir() + "/quern-" + std::to_string(::getpid()) + ".tiff";
  TIFF* tiff = TIFFOpen(path.c_str(), "w");
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
    const auto kind = static_cast<std::uint16_t>(stored.extra);
    TIFFSetField(tiff, TIFFTAG_EXTRASAMPLES, 1, &kind);
  }
  std::vector<std::uint8_t> copy = rows;
  if (stored.tiled) {
    TIFFSetField(tiff, TIFFTAG_TILEWIDTH, 16);
    TIFFSetField(tiff, TIFFTAG_TILELENGTH, 16);
    copy.resize(static_cast<std::size_t>(TIFFTileSize(tiff)));
    TIFFWriteTile(tiff, copy.data(), 0, 0, 0, 0);
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

TEST(Tiff, AlphaIsStraightOrPremultiplied) {
  const auto pixel = [](int extra) {
    const File file = tiff_of(1, 1, {.samples = 4, .extra = extra}, {100, 50, 0, 128});
    return picture_of(file).at<cv::Vec4b>(0, 0);
  };
  EXPECT_EQ(pixel(EXTRASAMPLE_UNASSALPHA), cv::Vec4b(100, 50, 0, 128));
  EXPECT_EQ(pixel(EXTRASAMPLE_ASSOCALPHA), cv::Vec4b(199, 100, 0, 128));
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
    if (tiled && (stored.cols > 16 || stored.rows > 16)) continue;
    const File file = tiff_of(stored.cols, stored.rows, {.orientation = GetParam(), .tiled = tiled}, rows);
    EXPECT_EQ(read_header(file).orientation, GetParam());
    FakeJob job(sdk::find_kind("image.process"), R"({"format":"png"})");
    job.add_input(file).run();
    EXPECT_EQ(difference(picture_of(job.bytes()), upright), 0);
  }
}

TEST(Tiff, WritesEachCompression) {
  for (const char* compression : {"none", "lzw", "deflate", "packbits"}) {
    FakeJob job(sdk::find_kind("image.process"),
                R"({"format":"tiff","compression":")" + std::string(compression) + "\"}");
    const cv::Mat picture = with_alpha_of(gradient(33, 21), 100);
    job.add_input(file_of(picture, Format::kPng)).run();
    EXPECT_EQ(difference(picture_of(job.bytes()), picture), 0) << compression;
  }
}

}  // namespace
}  // namespace quern::image
