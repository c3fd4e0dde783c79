// The codecs: what they read, and what they say to files that are broken on purpose or by accident.
#include <gmock/gmock.h>
#include <sys/resource.h>

#include <chrono>
#include <random>

#include "tests/unit/jobs/pictures.h"
#include "tests/unit/sdk/fake_job.h"
#include "worker/jobs/image/codecs/exif.h"

namespace quern::image {
namespace {

using sdk::error_of;
using sdk::JobErrorCode;
using testing::HasSubstr;

const sdk::Kind kNothing{};
const std::string kNoPicture = "the input is no picture that is read here: JPEG, PNG, WebP, GIF, TIFF, AVIF or BMP";

std::vector<std::uint8_t> repeated(const std::vector<std::uint8_t>& bytes, std::size_t times) {
  std::vector<std::uint8_t> all(bytes.size() * times);
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = bytes[i % bytes.size()];
  return all;
}

class EveryFormat : public testing::TestWithParam<Format> {};
INSTANTIATE_TEST_SUITE_P(Formats, EveryFormat,
                         testing::Values(Format::kJpeg, Format::kPng, Format::kWebp, Format::kTiff, Format::kAvif),
                         [](const auto& at) { return std::string(name_of(at.param)); });

bool is_exact(Format format) { return format == Format::kPng || format == Format::kTiff; }

TEST_P(EveryFormat, RoundTrips) {
  const cv::Mat picture = gradient(123, 77);
  const File file = file_of(picture, GetParam());
  const Header header = read_header(file);
  EXPECT_EQ(header.format, GetParam());
  EXPECT_EQ(header.width, 123U);
  EXPECT_EQ(header.height, 77U);
  EXPECT_EQ(header.orientation, 1);
  EXPECT_FALSE(header.alpha);
  EXPECT_LE(difference(picture_of(file), picture), is_exact(GetParam()) ? 0 : 12);
}

TEST_P(EveryFormat, APictureOfOnePixelIsAPicture) {
  EXPECT_EQ(picture_of(file_of(gradient(1, 1), GetParam())).size(), cv::Size(1, 1));
}

TEST_P(EveryFormat, CutShortAnywhereItIsBadInput) {
  const File file = file_of(gradient(64, 48), GetParam());
  // after the last of the pixels: a PNG's end chunk, a JPEG's end marker, a WebP's padding
  // (a TIFF's directory, which says where everything is, stands at its end)
  const std::size_t tail = GetParam() == Format::kPng ? 12 : 2;
  for (std::size_t size = 0; size + tail < file.size(); ++size) {
    const auto error = error_of([&] { (void)picture_of(std::span(file).first(size)); });
    ASSERT_EQ(error.code(), JobErrorCode::kBadInput) << size << ": " << error.what();
    ASSERT_STRNE(error.what(), "");
  }
}

TEST_P(EveryFormat, AnyByteChangedIsAPictureOrAnError) {
  const File file = file_of(gradient(64, 48), GetParam());
  std::minstd_rand random(7);
  for (int round = 0; round < 3000; ++round) {
    File broken = file;
    for (int i = 0; i < 1 + round % 4; ++i) broken[random() % broken.size()] = static_cast<std::byte>(random());
    if (GetParam() == Format::kPng && round % 2 == 0) fix_png_checksums(broken);
    try {
      const Header header = read_header(broken);
      if (header.pixels() > 10'000'000) continue;  // the module's own check
      const sdk::FakeJob job(kNothing);
      (void)decode(broken, 1, job);
    } catch (const sdk::JobError& error) {
      ASSERT_TRUE(error.code() == JobErrorCode::kBadInput || error.code() == JobErrorCode::kTooLarge) << error.what();
    } catch (const std::bad_alloc&) {
    }
  }
}

TEST_P(EveryFormat, DecodingStopsWhenAsked) {
  const File file = file_of(gradient(800, 800), GetParam());
  sdk::FakeJob job(kNothing);
  job.cancelled = true;
  EXPECT_EQ(error_of([&] { (void)decode(file, 1, job); }).code(), JobErrorCode::kCancelled);
}

TEST_P(EveryFormat, EncodingStopsWhenAsked) {
  sdk::FakeJob job(kNothing);
  job.polls_until_cancel = 2;
  EXPECT_EQ(error_of([&] { encode(gradient(800, 800), GetParam(), 80, job); }).code(), JobErrorCode::kCancelled);
}

TEST_P(EveryFormat, AResultPastTheLimitIsTooLarge) {
  for (const std::size_t limit : {0U, 1U, 100U, 1000U}) {
    sdk::FakeJob job(kNothing);
    job.result_bytes_max = limit;
    cv::Mat noise(200, 200, CV_8UC3);
    cv::randu(noise, 0, 255);
    EXPECT_EQ(error_of([&] { encode(noise, GetParam(), 80, job); }).code(), JobErrorCode::kTooLarge);
  }
}

TEST_P(EveryFormat, OrientationIsRead) {
  if (GetParam() == Format::kTiff || GetParam() == Format::kAvif)
    GTEST_SKIP() << "these say it in other ways than EXIF";
  for (int orientation = 1; orientation <= 8; ++orientation) {
    for (const ByteOrder order : {ByteOrder::kLittle, ByteOrder::kBig}) {
      const File file = with_exif(file_of(gradient(16, 8), GetParam()), GetParam(), exif_block(orientation, order));
      EXPECT_EQ(read_header(file).orientation, orientation);
      EXPECT_EQ(picture_of(file).size(), cv::Size(16, 8));
    }
  }
}

TEST(Codec, NamesWhatItCantRead) {
  const auto message = [](std::string_view text) {
    return std::string(error_of([&] { (void)read_header(std::as_bytes(std::span(text.data(), text.size()))); }).what());
  };
  EXPECT_EQ(message(""), "the input is empty");
  EXPECT_EQ(message("%PDF-1.7"), kNoPicture + " (it looks like a PDF file)");
  EXPECT_EQ(message("hello"), kNoPicture);
  EXPECT_EQ(message("\xff\xd8"), kNoPicture);
}

// ---- JPEG --------------------------------------------------------------------------------------------

TEST(Jpeg, GreyIsSpread) {
  cv::Mat grey(40, 60, CV_8UC1, cv::Scalar(77));
  const cv::Mat picture = picture_of(jpeg_of(grey, {.grey = true}));
  EXPECT_LE(difference(picture, cv::Mat(40, 60, CV_8UC3, cv::Scalar(77, 77, 77))), 1);
}

TEST(Jpeg, ProgressiveIsRead) {
  const cv::Mat picture = gradient(123, 77);
  EXPECT_LE(difference(picture_of(jpeg_of(picture, {.progressive = true})), picture), 8);
}

// libjpeg writes Adobe's marker for CMYK: the inks are inverted, 255 is none.
TEST(Jpeg, CmykIsConverted) {
  const auto color_of = [](cv::Scalar inks) {
    const cv::Vec3b pixel = picture_of(jpeg_of(cv::Mat(16, 16, CV_8UC4, inks), {.cmyk = true})).at<cv::Vec3b>(8, 8);
    return std::vector<int>{pixel[0], pixel[1], pixel[2]};
  };
  EXPECT_EQ(color_of({255, 255, 255, 255}), (std::vector<int>{255, 255, 255}));
  EXPECT_EQ(color_of({255, 255, 255, 0}), (std::vector<int>{0, 0, 0}));
  EXPECT_EQ(color_of({0, 255, 255, 255}), (std::vector<int>{0, 255, 255}));
  EXPECT_EQ(color_of({255, 255, 255, 128}), (std::vector<int>{128, 128, 128}));
}

TEST(Jpeg, IsShrunkWhileItIsDecoded) {
  const File file = file_of(gradient(801, 400), Format::kJpeg);
  const sdk::FakeJob job(kNothing);
  for (const std::uint32_t shrink : {1U, 2U, 4U, 8U}) {
    const cv::Mat picture = decode(file, shrink, job);
    EXPECT_EQ(picture.cols, static_cast<int>((801 + shrink - 1) / shrink));
    EXPECT_EQ(picture.rows, static_cast<int>((400 + shrink - 1) / shrink));
  }
}

TEST(Webp, IsShrunkWhileItIsDecodedUnlessItIsTransparent) {
  const sdk::FakeJob job(kNothing);
  const File file = file_of(gradient(801, 400), Format::kWebp);
  ASSERT_GT(read_header(file).shrink_headroom, 1);
  for (const std::uint32_t shrink : {1U, 2U, 4U, 8U}) {
    for (const bool yuv : {false, true}) {
      const Frame frame = open_decoder(file, FailOn::kWarning, job)->next({.shrink = shrink, .yuv_welcome = yuv});
      EXPECT_EQ(size_of(frame.picture),
                cv::Size(static_cast<int>((801 + shrink - 1) / shrink), static_cast<int>((400 + shrink - 1) / shrink)));
      EXPECT_EQ(frame.whole, cv::Size2d(size_of(frame.picture)));
    }
  }
  EXPECT_EQ(read_header(file_of(with_alpha_of(gradient(80, 40), 100), Format::kWebp)).shrink_headroom, 0);
}

// libjpeg's own list of them would be walked for each: these took half a minute.
TEST(Jpeg, ManyMarkersAreReadInNoTime) {
  File file = file_of(gradient(64, 48), Format::kJpeg);
  constexpr std::size_t kMarkers = 200'000;
  const std::byte marker[] = {std::byte{0xff}, std::byte{0xe2}, std::byte{0}, std::byte{2}};
  File markers;
  for (std::size_t i = 0; i < kMarkers; ++i) markers.insert(markers.end(), std::begin(marker), std::end(marker));
  file.insert(file.begin() + 2, markers.begin(), markers.end());
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(picture_of(file).size(), cv::Size(64, 48));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5));
}

TEST(Jpeg, TheDecodersReasonIsGiven) {
  const File file = file_of(gradient(64, 48), Format::kJpeg);
  EXPECT_STREQ(error_of([&] { (void)picture_of(std::span(file).first(file.size() / 2)); }).what(),
               "JPEG: Premature end of JPEG file");
}

// Of what is left out of a cut, nobody sees the pixels; that the file is damaged is seen.
TEST(Jpeg, DamageBelowACutIsSeen) {
  const File whole = file_of(gradient(400, 2000), Format::kJpeg);
  const File cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(whole.size() * 9 / 10));
  const auto resized = [](const File& file, const std::string& more) {
    sdk::FakeJob job(sdk::find_kind("image.resize"), R"({"width":390,"height":100,"position":"north")" + more + "}");
    job.add_input(file).run();
    return picture_of(job.bytes());
  };
  EXPECT_EQ(resized(whole, "").size(), cv::Size(390, 100));
  EXPECT_EQ(error_of([&] { (void)resized(cut, ""); }).code(), sdk::JobErrorCode::kBadInput);
  EXPECT_EQ(resized(cut, R"(,"fail_on":"none")").size(), cv::Size(390, 100));
}

TEST(Jpeg, ALateEndMarkerIsNoError) {
  File file = file_of(gradient(64, 48), Format::kJpeg);
  const std::byte junk[] = {std::byte{1}, std::byte{2}, std::byte{3}};
  file.insert(file.end() - 2, std::begin(junk), std::end(junk));
  EXPECT_EQ(picture_of(file).size(), cv::Size(64, 48));
}

TEST(Jpeg, EndlessScansAreRefused) {
  File file = jpeg_of(gradient(64, 64), {.progressive = true});
  // the last scan, again and again
  std::size_t last = 0;
  for (std::size_t at = 0; at + 1 < file.size(); ++at) {
    if (file[at] == std::byte{0xff} && file[at + 1] == std::byte{0xda}) last = at;
  }
  const File scan(file.begin() + static_cast<std::ptrdiff_t>(last), file.end() - 2);
  for (int i = 0; i < 1000; ++i) file.insert(file.end() - 2, scan.begin(), scan.end());
  const auto error = error_of([&] { (void)picture_of(file); });
  EXPECT_EQ(error.code(), JobErrorCode::kBadInput);
}

// ---- PNG ---------------------------------------------------------------------------------------------

TEST(Png, SixteenBitsKeepTheirUpperEight) {
  const auto rows = repeated({0x12, 0xff, 0x80, 0x00, 0xfe, 0x7f}, 4 * 4);
  const cv::Mat picture = picture_of(png_of(4, 4, rows, {.color_type = 2, .bit_depth = 16}));
  EXPECT_EQ(picture.at<cv::Vec3b>(3, 3), cv::Vec3b(0x12, 0x80, 0xfe));
}

TEST(Png, GreyOfEveryDepthIsSpread) {
  for (const int depth : {1, 2, 4, 8, 16}) {
    const std::vector<std::uint8_t> rows(static_cast<std::size_t>(8 * depth), 0xff);
    EXPECT_EQ(picture_of(png_of(8, 8, rows, {.color_type = 0, .bit_depth = depth})).at<cv::Vec3b>(7, 7),
              cv::Vec3b(255, 255, 255))
        << depth;
  }
}

TEST(Png, GreyWithAlphaKeepsIt) {
  const auto rows = repeated({0x40, 0x80}, 4);
  EXPECT_EQ(picture_of(png_of(2, 2, rows, {.color_type = 4})).at<cv::Vec4b>(1, 1), cv::Vec4b(0x40, 0x40, 0x40, 0x80));
}

TEST(Png, PalettesAreLookedUp) {
  const File file = png_of(2, 1, {0, 1}, {.color_type = 3, .palette = {0x102030ff, 0x40506070}});
  EXPECT_TRUE(read_header(file).alpha);
  const cv::Mat picture = picture_of(file);
  EXPECT_EQ(picture.at<cv::Vec4b>(0, 0), cv::Vec4b(0x10, 0x20, 0x30, 0xff));
  EXPECT_EQ(picture.at<cv::Vec4b>(0, 1), cv::Vec4b(0x40, 0x50, 0x60, 0x70));
}

TEST(Png, InterlacedIsRead) {
  const cv::Mat picture = gradient(37, 29);
  const std::vector<std::uint8_t> rows(picture.datastart, picture.dataend);
  EXPECT_EQ(difference(picture_of(png_of(37, 29, rows, {.interlaced = true})), picture), 0);
}

TEST(Png, AWrongChecksumInThePixelsIsBadInput) {
  File file = file_of(gradient(32, 32), Format::kPng);
  file[file.size() - 12 - 1] ^= std::byte{1};  // the last of IDAT's checksum
  const auto error = error_of([&] { (void)picture_of(file); });
  EXPECT_EQ(error.code(), JobErrorCode::kBadInput);
  EXPECT_THAT(error.what(), HasSubstr("PNG: "));
}

TEST(Png, AWrongChecksumInTextCostsOnlyTheText) {
  File file = file_of(gradient(32, 32), Format::kPng);
  const std::string_view text("\0\0\0\5tEXta\0bcdXXXX", 17);
  const auto chunk = std::as_bytes(std::span(text.data(), text.size()));
  constexpr std::ptrdiff_t kAfterHeader = 8 + 25;
  file.insert(file.begin() + kAfterHeader, chunk.begin(), chunk.end());
  EXPECT_EQ(difference(picture_of(file), gradient(32, 32)), 0);
}

TEST(Png, AlphaThatIsOpaqueIsDropped) {
  EXPECT_EQ(picture_of(file_of(with_alpha_of(gradient(8, 8), 255), Format::kPng)).channels(), 3);
  EXPECT_EQ(picture_of(file_of(with_alpha_of(gradient(8, 8), 254), Format::kPng)).channels(), 4);
}

// ---- WebP --------------------------------------------------------------------------------------------

TEST(Webp, AlphaRoundTrips) {
  cv::Mat picture = with_alpha_of(gradient(64, 64), 200);
  EXPECT_EQ(picture_of(file_of(picture, Format::kWebp)).at<cv::Vec4b>(32, 32)[3], 200);
}

TEST(Webp, OfAnAnimationTheFirstFrameIsShown) {
  const cv::Mat red(20, 30, CV_8UC3, cv::Scalar(250, 0, 0));
  const cv::Mat blue(20, 30, CV_8UC3, cv::Scalar(0, 0, 250));
  const cv::Mat whole = picture_of(animation_of({30, 20}, {red, blue}, {0, 0}));
  EXPECT_EQ(whole.size(), cv::Size(30, 20));
  EXPECT_GT(whole.at<cv::Vec3b>(10, 10)[0], 200);
}

TEST(Webp, AFirstFrameThatIsSmallerLiesOnNothing) {
  const cv::Mat red(20, 30, CV_8UC3, cv::Scalar(250, 0, 0));
  const cv::Mat picture = picture_of(animation_of({50, 40}, {red, red}, {4, 6}));
  EXPECT_EQ(picture.size(), cv::Size(50, 40));
  EXPECT_EQ(picture.at<cv::Vec4b>(0, 0), cv::Vec4b(0, 0, 0, 0));
  EXPECT_EQ(picture.at<cv::Vec4b>(16, 14)[3], 255);
  EXPECT_GT(picture.at<cv::Vec4b>(16, 14)[0], 200);
}

}  // namespace
}  // namespace quern::image
