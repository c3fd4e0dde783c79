// Files that are not what they say, and cost what nobody counted.
#include <gmock/gmock.h>

#include <chrono>
#include <cstring>

#include "tests/unit/jobs/gifs.h"
#include "tests/unit/jobs/pictures.h"
#include "worker/jobs/image/codecs/webp_chunks.h"

namespace quern::image {
namespace {

using sdk::error_of;
using sdk::FakeJob;
using sdk::JobErrorCode;

const sdk::Kind kNothing{};

File made(const File& file, std::string_view params, std::string_view kind = "image.process") {
  FakeJob job(sdk::find_kind(kind), params);
  job.add_input(file).run();
  return {job.bytes().begin(), job.bytes().end()};
}

Metadata metadata_of(const File& file) {
  const FakeJob job(kNothing);
  return open_decoder(file, FailOn::kWarning, job)->metadata();
}

File animation() {
  const auto frame = [](double level) { return cv::Mat(16, 16, CV_8UC3, cv::Scalar(level, 60, 90)); };
  return animation_of({16, 16}, {frame(10), frame(120), frame(240)}, {0, 0});
}

void put_little_endian(File& file, std::size_t at, std::size_t value) {
  for (std::size_t i = 0; i < 4; ++i) file.at(at + i) = static_cast<std::byte>(value >> (8 * i));
}

// ---- Animations

// libwebp's own walk over the frames begins at the first for each: these took ten seconds.
TEST(WebpAnimation, OfVeryManyFramesIsRefusedInNoTime) {
  constexpr std::size_t kFrames = 60'000;
  File file = animation();
  File frame;
  for (webp::ChunkReader chunks(file); chunks.next();) {
    if (chunks.name() == "ANMF") frame.assign(file.begin() + static_cast<std::ptrdiff_t>(chunks.offset()), file.end());
  }
  for (std::size_t i = 0; i < kFrames; ++i) file.insert(file.end(), frame.begin(), frame.end());
  put_little_endian(file, 4, file.size() - 8);
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(error_of([&] { (void)made(file, R"({"format":"webp"})"); }).field(), "max_input_frames");
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5));
}

TEST(WebpAnimation, ThatIsCutShortShowsWhatThereIsWhenAsked) {
  File file = animation();
  file.resize(file.size() - 10);
  EXPECT_EQ(error_of([&] { (void)made(file, R"({"format":"webp"})"); }).code(), JobErrorCode::kBadInput);
  const File result = made(file, R"({"format":"webp","lossless":true,"fail_on":"none"})");
  EXPECT_EQ(read_header(result).width, 16U);
  EXPECT_NEAR(picture_of(result).at<cv::Vec3b>(8, 8)[0], 10, 4);
}

TEST(Animation, OfWhichOneFrameIsUsedHasTheLimitsOfOne) {
  const File file = animation();
  EXPECT_EQ(picture_of(made(file, R"({"format":"jpeg","max_input_pixels":256,"max_input_frames":1})")).size(),
            cv::Size(16, 16));
  EXPECT_EQ(error_of([&] { (void)made(file, R"({"format":"gif","max_input_pixels":256})"); }).field(),
            "max_input_pixels");
}

TEST(Animation, ThatIsLaidOnAPictureOrMeasuredHasTheLimitsOfOneFrame) {
  const std::string limits = R"("max_input_pixels":256,"max_input_frames":1)";
  const File file = animation();
  const File still = file_of(gradient(16, 16), Format::kPng);
  FakeJob composed(sdk::find_kind("image.process"),
                   R"({"operations":[{"op":"composite"}],"format":"webp",)" + limits + "}");
  composed.add_input(still).add_input(file).run();
  EXPECT_EQ(read_header(composed.bytes()).width, 16U);
  for (const char* kind : {"image.stats", "image.placeholder", "image.compare"}) {
    FakeJob job(sdk::find_kind(kind), "{" + limits + "}");
    job.add_input(file);
    if (std::string_view(kind) == "image.compare") job.add_input(still);
    EXPECT_NO_THROW(job.run()) << kind;
  }
}

TEST(Gif, APictureFarWiderThanItsCanvasIsDamage) {
  const File file = gif_of({.canvas = {1, 100}, .pictures = {{.area = {0, 0, 1, 100}}, {.area = {0, 0, 60'000, 100}}}});
  EXPECT_EQ(error_of([&] { (void)made(file, R"({"format":"gif"})"); }).code(), JobErrorCode::kBadInput);
  EXPECT_EQ(read_header(made(file, R"({"format":"gif","fail_on":"none"})")).width, 1U);
}

// ---- Metadata

TEST(Metadata, ExifWithItsPrefixIsExif) {
  File doubled = exif_block(6);  // WebP's should have none; with_exif takes one off
  doubled.insert(doubled.begin(), doubled.begin(), doubled.begin() + 6);
  const File file = with_exif(file_of(gradient(20, 10), Format::kWebp), Format::kWebp, doubled);
  EXPECT_EQ(std::to_integer<char>(metadata_of(file).exif.at(0)), std::to_integer<char>(exif_block(6).at(6)));
  for (const char* params : {R"({"format":"jpeg","keep_metadata":true})", R"({"format":"avif","keep_metadata":true})",
                             R"({"format":"png","keep_metadata":true,"progressive":true})"}) {
    const File result = made(file, params);
    EXPECT_EQ(read_header(result).orientation, 1) << params;
    EXPECT_EQ(metadata_of(result).exif.size(), exif_block(6).size() - 6) << params;
  }
}

TEST(Metadata, ExifThatIsNoneIsLeftOut) {
  File garbage = exif_block(1);
  garbage.at(6) = std::byte{'?'};
  const File file = with_exif(file_of(gradient(20, 10), Format::kJpeg), Format::kJpeg, garbage);
  for (const char* params : {R"({"format":"avif","keep_metadata":true})", R"({"format":"png","keep_metadata":true})",
                             R"({"format":"png","keep_metadata":true,"progressive":true})"}) {
    EXPECT_TRUE(metadata_of(made(file, params)).exif.empty()) << params;
  }
}

// HEIF says that it is to be ignored; others would not.
TEST(Metadata, OrientationThatAnAvifOnlyMentionsIsReset) {
  const File exif = exif_block(1);
  FakeJob job(kNothing);
  EncodeOptions options{.format = Format::kAvif, .quality = 90};
  options.metadata.exif = Bytes(exif).subspan(6);
  const auto encoder = make_encoder(options, job);
  encoder->add({.picture = gradient(40, 20)});
  encoder->finish(job.output({}));
  File file(job.bytes().begin(), job.bytes().end());
  const File turned = exif_block(6);  // of the same size; libavif would turn the picture
  std::ranges::copy(turned.begin() + 6, turned.end(), std::ranges::search(file, Bytes(exif).subspan(6)).begin());
  const File result = made(file, R"({"format":"jpeg","keep_metadata":true})");
  EXPECT_EQ(read_header(result).width, 40U);
  EXPECT_EQ(read_header(result).orientation, 1);
}

// Of a palette PNG, the checksum of the palette.
TEST(Png, AWrongChecksumIsLetPassWhenAsked) {
  File file = png_of(4, 1, {0, 1, 0, 1}, {.color_type = 3, .bit_depth = 8, .palette = {0x102030ff, 0x405060ff}});
  const std::string_view name = "PLTE";
  const auto at = std::ranges::search(file, std::as_bytes(std::span(name)));
  *(at.end() + 6) ^= std::byte{1};
  EXPECT_EQ(error_of([&] { (void)made(file, R"({"format":"png"})"); }).code(), JobErrorCode::kBadInput);
  const File result = made(file, R"({"format":"png","fail_on":"none"})");
  EXPECT_EQ(picture_of(result).at<cv::Vec3b>(0, 1), cv::Vec3b(0x40, 0x50, 0x60));
}

}  // namespace
}  // namespace quern::image
