// AVIF: its own way of saying how a picture lies, depths, alpha.
#include <avif/avif.h>
#include <dirent.h>
#include <gmock/gmock.h>
#include <cstring>

#include <algorithm>
#include <memory>
#include <optional>
#include <string_view>

#include "tests/unit/jobs/pictures.h"
#include "tests/unit/sdk/fake_job.h"

namespace quern::image {
namespace {

using sdk::FakeJob;

struct Transforms {
  int angle = -1;  // quarter turns anticlockwise
  int mirror = -1;
  std::optional<avifCleanApertureBox> aperture{};
};

File avif_of(const cv::Mat& picture, const Transforms& transforms) {
  const std::unique_ptr<avifImage, void (*)(avifImage*)> image(
      avifImageCreate(static_cast<std::uint32_t>(picture.cols), static_cast<std::uint32_t>(picture.rows), 8,
                      AVIF_PIXEL_FORMAT_YUV444),
      avifImageDestroy);
  image->matrixCoefficients = AVIF_MATRIX_COEFFICIENTS_IDENTITY;
  if (transforms.angle >= 0) {
    image->transformFlags |= AVIF_TRANSFORM_IROT;
    image->irot.angle = static_cast<std::uint8_t>(transforms.angle);
  }
  if (transforms.mirror >= 0) {
    image->transformFlags |= AVIF_TRANSFORM_IMIR;
    image->imir.mode = static_cast<std::uint8_t>(transforms.mirror);
  }
  if (transforms.aperture) {
    image->transformFlags |= AVIF_TRANSFORM_CLAP;
    image->clap = *transforms.aperture;
  }
  avifRGBImage source;
  avifRGBImageSetDefaults(&source, image.get());
  source.depth = 8;
  source.format = AVIF_RGB_FORMAT_RGB;
  source.pixels = picture.data;
  source.rowBytes = static_cast<std::uint32_t>(picture.step[0]);
  avifImageRGBToYUV(image.get(), &source);
  const std::unique_ptr<avifEncoder, void (*)(avifEncoder*)> encoder(avifEncoderCreate(), avifEncoderDestroy);
  encoder->minQuantizer = encoder->maxQuantizer = 0;
  encoder->speed = 10;
  avifRWData made = AVIF_DATA_EMPTY;
  avifEncoderWrite(encoder.get(), image.get(), &made);
  const auto* first = reinterpret_cast<const std::byte*>(made.data);
  File file(first, first + made.size);
  avifRWDataFree(&made);
  return file;
}

cv::Mat shown(const File& file) {
  FakeJob job(sdk::find_kind("image.process"), R"({"format":"png"})");
  job.add_input(file).run();
  return picture_of(job.bytes());
}

TEST(Avif, IsKnownByACompatibleBrand) {
  File file = file_of(gradient(16, 16), Format::kAvif);
  std::memcpy(&file[8], "mif1", 4);
  EXPECT_EQ(read_header(file).format, Format::kAvif);
}

// As the standard says it, step by step: turned first, then mirrored.
TEST(Avif, IsTurnedAndMirrored) {
  const cv::Mat stored = quarters(24, 16);
  for (int angle = -1; angle < 4; ++angle) {
    for (int mirror = -1; mirror < 2; ++mirror) {
      cv::Mat expected = stored.clone();
      for (int i = 0; i < angle; ++i) cv::rotate(expected, expected, cv::ROTATE_90_COUNTERCLOCKWISE);
      if (mirror >= 0) cv::flip(expected, expected, mirror);  // 0: top and bottom, 1: left and right, in both
      EXPECT_EQ(difference(shown(avif_of(stored, {.angle = angle, .mirror = mirror})), expected), 0) << angle << mirror;
    }
  }
}

TEST(Avif, OnlyItsApertureIsShown) {
  const cv::Mat picture = gradient(64, 48);
  const avifCleanApertureBox middle{.widthN = 32,
                                    .widthD = 1,
                                    .heightN = 24,
                                    .heightD = 1,
                                    .horizOffN = 0,
                                    .horizOffD = 1,
                                    .vertOffN = 0,
                                    .vertOffD = 1};
  const File file = avif_of(picture, {.aperture = middle});
  EXPECT_EQ(read_header(file).width, 32U);
  EXPECT_EQ(read_header(file).height, 24U);
  EXPECT_EQ(difference(shown(file), picture(cv::Rect(16, 12, 32, 24)).clone()), 0);
}

TEST(Avif, APictureLargerThanItsFileSaysIsNotDecoded) {
  File file = avif_of(gradient(640, 480), {});
  const std::string_view name = "ispe";
  const auto at = std::ranges::search(file, std::as_bytes(std::span(name)));
  ASSERT_NE(at.begin(), file.end());
  const std::byte small[] = {std::byte{0}, std::byte{0}, std::byte{0}, std::byte{64},
                             std::byte{0}, std::byte{0}, std::byte{0}, std::byte{48}};
  std::ranges::copy(small, at.end() + 4);
  EXPECT_EQ(read_header(file).width, 64U);
  EXPECT_EQ(sdk::error_of([&] { (void)shown(file); }).code(), sdk::JobErrorCode::kBadInput);
}

TEST(Avif, LosslessIsExactAndQualityCosts) {
  const cv::Mat picture = gradient(64, 48);
  const auto made = [&](const std::string& params) {
    FakeJob job(sdk::find_kind("image.process"), R"({"format":"avif",)" + params + "}");
    job.add_input(file_of(picture, Format::kPng)).run();
    return File(job.bytes().begin(), job.bytes().end());
  };
  EXPECT_EQ(difference(picture_of(made(R"("lossless":true)")), picture), 0);
  cv::randu(picture, 0, 255);
  EXPECT_LT(made(R"("quality":20,"effort":0)").size(), made(R"("quality":90,"effort":0)").size());
  EXPECT_EQ(read_header(made(R"("bit_depth":10,"effort":0)")).depth, 10);
  EXPECT_EQ(read_header(made(R"("chroma_subsampling":"4:4:4","effort":0)")).chroma_subsampling, "4:4:4");
  EXPECT_EQ(read_header(made(R"("effort":0)")).chroma_subsampling, "4:2:0");
}

TEST(Avif, DamageWithinAPictureIsAnError) {
  const File whole = file_of(gradient(320, 240), Format::kAvif, 90);
  for (const double place : {0.4, 0.5, 0.6, 0.7, 0.8}) {
    File damaged = whole;
    const auto first = static_cast<std::size_t>(static_cast<double>(whole.size()) * place);
    for (std::size_t i = 0; i < 8; ++i) damaged[first + i] ^= std::byte{0xff};
    FakeJob strict(sdk::find_kind("image.resize"), R"({"width":100,"format":"png"})");
    strict.add_input(damaged);
    EXPECT_EQ(sdk::error_of([&] { strict.run(); }).code(), sdk::JobErrorCode::kBadInput) << place;
  }
}

TEST(Avif, KeepsAlpha) {
  const cv::Mat picture = with_alpha_of(gradient(40, 30), 77);
  const cv::Mat back = picture_of(file_of(picture, Format::kAvif));
  ASSERT_EQ(back.channels(), 4);
  EXPECT_EQ(back.at<cv::Vec4b>(10, 10)[3], 77);
}

int threads() {
  int count = 0;
  DIR* tasks = ::opendir("/proc/self/task");
  while (const dirent* entry = ::readdir(tasks)) count += entry->d_name[0] != '.' ? 1 : 0;
  ::closedir(tasks);
  return count;
}

TEST(Avif, StartsNoThread) {
  (void)picture_of(file_of(gradient(300, 200), Format::kAvif));
  EXPECT_EQ(threads(), 1);
}

}  // namespace
}  // namespace quern::image
