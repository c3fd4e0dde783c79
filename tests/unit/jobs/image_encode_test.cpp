// Every option of writing, seen in the file it makes; and the ways around RGB and zlib beside the straight ones.
#include <gmock/gmock.h>

#include <spng.h>
#include <boost/json/parse.hpp>

#include <algorithm>
#include <opencv2/imgproc.hpp>
#include <set>
#include <tuple>

#include "tests/unit/jobs/pictures.h"
#include "worker/jobs/image/codecs/png_deflate.h"
#include "worker/jobs/image/codecs/png_fast.h"
#include "worker/jobs/image/encode_params.h"
#include "worker/jobs/image/resample.h"
#include "worker/jobs/image/yuv.h"

namespace quern::image {
namespace {

using sdk::error_of;
using sdk::FakeJob;
using sdk::JobErrorCode;

const sdk::Kind kNothing{};

cv::Mat noise(int width, int height, int type = CV_8UC3) {
  cv::Mat picture(height, width, type);
  cv::theRNG().state = 7;
  cv::randu(picture, 0, 256);
  return picture;
}

File processed(const cv::Mat& picture, const std::string& params) {
  FakeJob job(sdk::find_kind("image.process"), params);
  job.add_input(file_of(picture, Format::kPng)).run();
  return {job.bytes().begin(), job.bytes().end()};
}

TEST(JpegEncode, ItsOptionsAreInTheFile) {
  const cv::Mat picture = gradient(64, 64);
  EXPECT_TRUE(read_header(processed(picture, R"({"format":"jpeg","progressive":true})")).progressive);
  EXPECT_FALSE(read_header(processed(picture, R"({"format":"jpeg"})")).progressive);
  EXPECT_EQ(read_header(processed(picture, R"({"format":"jpeg"})")).chroma_subsampling, "4:2:0");
  EXPECT_EQ(read_header(processed(picture, R"({"format":"jpeg","chroma_subsampling":"4:4:4"})")).chroma_subsampling,
            "4:4:4");
  EXPECT_LT(processed(picture, R"({"format":"jpeg"})").size(),
            processed(picture, R"({"format":"jpeg","optimise_coding":false})").size());
  EXPECT_EQ(read_header(processed(cv::Mat(9, 9, CV_8UC3, cv::Scalar::all(50)), R"({"format":"jpeg"})")).space,
            ColorSpace::kGrey);
}

// Planes written as they are, at every size around a block.
TEST(JpegEncode, PlanesAreThePicture) {
  const FakeJob job(kNothing);
  for (int width = 1; width <= 18; ++width) {
    for (int height = 1; height <= 18; height += 3) {
      for (const int shift : {0, 1}) {
        const cv::Mat picture = gradient(128, 128)(cv::Rect(50, 50, width, height)).clone();
        const File source = file_of(picture, Format::kJpeg, 100);
        const Frame frame = open_decoder(source, FailOn::kWarning, job)->next({.yuv_welcome = true});
        ASSERT_TRUE(std::holds_alternative<YuvPicture>(frame.picture));
        const Resize same{.from = {0, 0, static_cast<double>(width), static_cast<double>(height)},
                          .to = {width, height}};
        const YuvPicture planes =
            resample(std::get<YuvPicture>(frame.picture), same, {YuvPicture::Range::kFull, shift, shift}, job);
        FakeJob out(kNothing);
        const auto encoder = make_encoder({.format = Format::kJpeg, .quality = 100, .chroma_full = shift == 0}, out);
        encoder->add({.picture = planes});
        encoder->finish(out.output({}));
        ASSERT_LE(difference(picture_of(out.bytes()), picture_of(source)), 24)
            << width << "x" << height << " " << shift;
      }
    }
  }
}

TEST(WebpEncode, ItsOptionsAreInTheFile) {
  const cv::Mat picture = gradient(64, 64);
  EXPECT_TRUE(read_header(processed(picture, R"({"format":"webp","lossless":true})")).lossless);
  EXPECT_EQ(difference(picture_of(processed(picture, R"({"format":"webp","lossless":true})")), picture), 0);
  EXPECT_FALSE(read_header(processed(picture, R"({"format":"webp"})")).lossless);
  EXPECT_TRUE(read_header(processed(picture, R"({"format":"webp","near_lossless":true,"quality":60})")).lossless);
  cv::Mat photo = noise(128, 128);
  cv::blur(photo, photo, {5, 5});
  EXPECT_LT(processed(photo, R"({"format":"webp","effort":6})").size(),
            processed(photo, R"({"format":"webp","effort":0})").size());
  EXPECT_NE(processed(photo, R"({"format":"webp","smart_subsample":true})"), processed(photo, R"({"format":"webp"})"));
  const cv::Mat clear = noise(64, 64, CV_8UC4);
  EXPECT_LT(processed(clear, R"({"format":"webp","alpha_quality":10})").size(),
            processed(clear, R"({"format":"webp"})").size());
}

std::vector<std::uint8_t> by_libspng(const File& file, int format) {
  const std::unique_ptr<spng_ctx, void (*)(spng_ctx*)> context(spng_ctx_new(0), spng_ctx_free);
  spng_set_png_buffer(context.get(), file.data(), file.size());
  std::size_t size = 0;
  EXPECT_EQ(spng_decoded_image_size(context.get(), format, &size), 0);
  std::vector<std::uint8_t> pixels(size);
  EXPECT_EQ(spng_decode_image(context.get(), pixels.data(), size, format, 0), 0);
  return pixels;
}

TEST(PngDecode, EveryFilterIsUndone) {
  for (const int type : {CV_8UC3, CV_8UC4}) {
    for (const cv::Size size : {cv::Size(1, 1), cv::Size(2, 3), cv::Size(33, 17)}) {
      const cv::Mat picture = noise(size.width, size.height, type);
      const std::vector<std::uint8_t> rows(picture.datastart, picture.dataend);
      for (int filter = 0; filter <= 4; ++filter) {
        const File file =
            png_of(size.width, size.height, rows, {.color_type = type == CV_8UC4 ? 6 : 2, .filter = filter});
        const auto fast = png::decode_fast(file, read_header(file));
        ASSERT_TRUE(fast.has_value());
        EXPECT_EQ(difference(fast->clone(), picture), 0) << filter;
      }
    }
  }
}

TEST(PngEncode, IsWhatLibspngReads) {
  for (const int type : {CV_8UC3, CV_8UC4}) {
    for (const cv::Size size : {cv::Size(1, 1), cv::Size(2, 3), cv::Size(33, 17)}) {
      const cv::Mat picture = noise(size.width, size.height, type);
      const auto pixels = by_libspng(file_of(picture, Format::kPng), type == CV_8UC4 ? SPNG_FMT_RGBA8 : SPNG_FMT_RGB8);
      EXPECT_TRUE(std::equal(pixels.begin(), pixels.end(), picture.datastart, picture.dataend));
    }
  }
}

// Pictures that each favour another filter.
TEST(PngEncode, WhateverFilterIsChosenThePictureIsTheSame) {
  const cv::Mat across = gradient(300, 200);
  cv::Mat stripes(200, 300, CV_8UC3);
  for (int x = 0; x < 300; ++x) stripes.col(x).setTo(cv::Scalar(x * 37 % 256, x * 91 % 256, x * 13 % 256));
  cv::Mat flat(200, 300, CV_8UC3, cv::Scalar(1, 2, 3));
  for (const cv::Mat& picture : {across, stripes, cv::Mat(stripes.t()), flat, noise(300, 200)}) {
    for (const int level : {0, 1, 6, 9}) {
      const File file = processed(picture, R"({"format":"png","compression_level":)" + std::to_string(level) + "}");
      const cv::Mat back = picture_of(file);
      EXPECT_EQ(difference(back, picture), 0) << level;
      const auto pixels = by_libspng(file, SPNG_FMT_RGB8);
      EXPECT_TRUE(std::equal(pixels.begin(), pixels.end(), picture.clone().datastart)) << level;
    }
  }
  EXPECT_LT(processed(across, R"({"format":"png","compression_level":9})").size(),
            processed(across, R"({"format":"png","compression_level":1})").size());
}

TEST(PngEncode, ItsOptionsAreInTheFile) {
  const cv::Mat picture = gradient(64, 64);
  EXPECT_TRUE(read_header(processed(picture, R"({"format":"png","progressive":true})")).progressive);
  EXPECT_EQ(difference(picture_of(processed(picture, R"({"format":"png","progressive":true})")), picture), 0);
  EXPECT_EQ(read_header(processed(cv::Mat(5, 5, CV_8UC3, cv::Scalar::all(77)), R"({"format":"png"})")).space,
            ColorSpace::kGrey);
  for (const char* params :
       {R"({"format":"png","quality":80})", R"({"format":"png","palette":true})", R"({"format":"png","dither":0.5})"}) {
    EXPECT_EQ(read_header(processed(picture, params)).palette_bits, 8) << params;
  }
}

TEST(PngEncode, APaletteHasNoMoreColoursThanAsked) {
  const cv::Mat picture = noise(64, 64, CV_8UC4);
  for (const auto& [params, colors, bits] :
       {std::tuple(R"({"format":"png","colors":2})", 2U, 1), std::tuple(R"({"format":"png","colors":5})", 5U, 4),
        std::tuple(R"({"format":"png","bit_depth":2})", 4U, 2),
        std::tuple(R"({"format":"png","colors":200})", 200U, 8)}) {
    const File file = processed(picture, params);
    const auto pixels = by_libspng(file, SPNG_FMT_RGBA8);
    std::set<std::vector<std::uint8_t>> seen;
    for (std::size_t i = 0; i < pixels.size(); i += 4)
      seen.insert({pixels.begin() + static_cast<long>(i), pixels.begin() + static_cast<long>(i) + 4});
    EXPECT_LE(seen.size(), colors) << params;
    EXPECT_GE(seen.size(), 2U) << params;
    EXPECT_EQ(read_header(file).palette_bits, bits) << params;
  }
  const cv::Mat clear(8, 8, CV_8UC4, cv::Scalar(10, 20, 30, 0));
  EXPECT_EQ(picture_of(processed(clear, R"({"format":"png","palette":true})")).at<cv::Vec4b>(0, 0)[3], 0);
}

// What the fast way must leave to libspng: it takes nothing that it does not know.
TEST(PngFast, TakesOnlyWhatIsRightInEveryWay) {
  const cv::Mat picture = noise(20, 10);
  const File file = file_of(picture, Format::kPng);
  const Header header = read_header(file);
  ASSERT_TRUE(png::decode_fast(file, header).has_value());
  for (std::size_t size = 0; size < file.size(); ++size) {
    ASSERT_FALSE(png::decode_fast(std::span(file).first(size), header).has_value()) << size;
  }
  for (std::size_t at = 8; at < file.size(); ++at) {
    File broken = file;
    broken[at] ^= std::byte{1};
    ASSERT_FALSE(png::decode_fast(broken, header).has_value()) << at;
  }
  File longer = file;
  longer.resize(file.size() + 20);
  EXPECT_TRUE(png::decode_fast(longer, header).has_value());  // what follows the end is nobody's
  EXPECT_FALSE(png::decode_fast(png_of(4, 1, {1, 2, 3, 4}, {.color_type = 0}),
                                read_header(png_of(4, 1, {1, 2, 3, 4}, {.color_type = 0})))
                   .has_value());
}

// More of it is more bytes, and nearer to the picture.
TEST(Encode, QualityIsPaidInBytes) {
  cv::Mat photo = noise(128, 128);
  cv::blur(photo, photo, {5, 5});
  for (const std::string format :
       {R"("jpeg")", R"("png")", R"("webp")", R"("avif","effort":0)", R"("tiff","compression":"jpeg")"}) {
    std::size_t bytes = 0;
    double error = 1e9;
    for (const int quality : {5, 30, 60, 90}) {
      const File file = processed(photo, R"({"format":)" + format + R"(,"quality":)" + std::to_string(quality) + "}");
      const double now = cv::norm(picture_of(file), photo, cv::NORM_L2);
      EXPECT_GT(file.size(), bytes) << format << quality;
      EXPECT_LT(now, error) << format << quality;
      bytes = file.size();
      error = now;
    }
  }
}

TEST(EncodeParams, AnOptionOfAnotherFormatIsRefusedByName) {
  for (const auto& [params, field] :
       {std::pair(R"({"format":"jpeg","lossless":true})", "lossless"),
        std::pair(R"({"format":"webp","progressive":true})", "progressive"),
        std::pair(R"({"format":"png","alpha_quality":3})", "alpha_quality"),
        std::pair(R"({"format":"gif","quality":3})", "quality"), std::pair(R"({"format":"webp","effort":7})", "effort"),
        std::pair(R"({"format":"avif","bit_depth":4})", "bit_depth")}) {
    const auto error = error_of([&, p = params] { (void)processed(gradient(4, 4), p); });
    EXPECT_EQ(error.code(), JobErrorCode::kInvalidArgument) << params;
    EXPECT_EQ(error.field(), field) << error.what();
  }
  EXPECT_STREQ(error_of([] { (void)processed(gradient(4, 4), R"({"format":"jpeg","lossless":true})"); }).what(),
               "lossless is an option of webp and avif, not of jpeg");
}

TEST(EncodeParams, AutoIsByAlphaAndSize) {
  const Header photo{.format = Format::kJpeg, .width = 4000, .height = 3000, .lossless = false};
  EXPECT_EQ(choose_format(photo), Format::kWebp);
  EXPECT_EQ(choose_format({.format = Format::kJpeg, .width = 200, .height = 200, .lossless = false}), Format::kJpeg);
  EXPECT_EQ(choose_format({.format = Format::kPng, .width = 64, .height = 64}), Format::kPng);
  EXPECT_EQ(choose_format({.format = Format::kPng, .width = 200, .height = 200, .alpha = true}), Format::kWebp);
  Header moving{.format = Format::kGif, .width = 10, .height = 10};
  moving.frames = 3;
  EXPECT_EQ(choose_format(moving), Format::kWebp);
  EXPECT_EQ(read_header(processed(gradient(300, 300), R"({"format":"auto"})")).format, Format::kWebp);
  // what a WebP has no room for
  moving.width = 20'000;
  EXPECT_EQ(choose_format(moving), Format::kGif);
  EXPECT_EQ(choose_format({.format = Format::kPng, .width = 20'000, .height = 3, .alpha = true}), Format::kPng);
  EXPECT_EQ(choose_format({.format = Format::kPng, .width = 20'000, .height = 9}), Format::kJpeg);
  EXPECT_EQ(choose_format({.format = Format::kPng, .width = 70'000, .height = 9}), Format::kPng);
}

TEST(EncodeParams, AutoHasTheOptionsThatAreGiven) {
  const Header small{.format = Format::kJpeg, .width = 200, .height = 200, .lossless = false};
  const Header large{.format = Format::kJpeg, .width = 4000, .height = 3000, .lossless = false};
  const Header icon{.format = Format::kPng, .width = 32, .height = 32};
  Header clear = large;
  clear.alpha = true;
  Header moving = clear;
  moving.frames = 3;
  const auto chosen = [](const Header& input, const char* params) {
    return choose_format(input, boost::json::parse(params).as_object());
  };
  EXPECT_EQ(chosen(small, R"({"quality":80})"), Format::kJpeg);
  EXPECT_EQ(chosen(small, R"({"lossless":true})"), Format::kWebp);
  EXPECT_EQ(chosen(small, R"({"effort":6})"), Format::kWebp);
  EXPECT_EQ(chosen(large, R"({"progressive":true,"quality":70})"), Format::kJpeg);
  EXPECT_EQ(chosen(clear, R"({"progressive":true})"), Format::kPng);
  EXPECT_EQ(chosen(large, R"({"colors":16,"effort":3})"), Format::kPng);
  EXPECT_EQ(chosen(icon, R"({"quality":80})"), Format::kPng);
  EXPECT_EQ(chosen(icon, R"({"effort":6})"), Format::kWebp);
  EXPECT_EQ(chosen(moving, R"({"colors":16})"), Format::kGif);
  EXPECT_EQ(chosen(moving, R"({"loops":1,"lossless":true})"), Format::kWebp);
  const auto error = error_of([&] { (void)chosen(clear, R"({"lossless":true,"progressive":true})"); });
  EXPECT_EQ(error.field(), "format");
  EXPECT_STREQ(error.what(),
               "auto is one of webp, png for this picture, and none of them has lossless and progressive: say a format "
               "that has");
  // what is good for every format makes no palette of an icon
  const Header header = read_header(processed(gradient(32, 32), R"({"format":"auto","quality":80})"));
  EXPECT_EQ(header.format, Format::kPng);
  EXPECT_EQ(header.palette_bits, 0);
}

TEST(Encode, AutomaticLooksAtTheSizeOfTheResult) {
  const File photo = file_of(gradient(600, 400), Format::kJpeg);
  FakeJob job(sdk::find_kind("image.resize"), R"({"width":100,"format":"auto"})");
  job.add_input(photo);
  job.run();
  EXPECT_EQ(read_header(job.bytes()).format, Format::kJpeg);
}

TEST(Encode, APngWithoutAPaletteRefusesWhatOnlyPalettesHave) {
  const cv::Mat picture = gradient(60, 40);
  for (const std::string option : {R"("colors":16)", R"("dither":0.5)", R"("effort":3)", R"("bit_depth":4)"}) {
    const std::string name = option.substr(1, option.find(':') - 2);
    EXPECT_NE(read_header(processed(picture, R"({"format":"png",)" + option + "}")).palette_bits, 0) << option;
    const auto error =
        error_of([&] { (void)processed(picture, R"({"format":"png","palette":false,)" + option + "}"); });
    EXPECT_EQ(error.code(), JobErrorCode::kInvalidArgument);
    EXPECT_EQ(error.field(), name);
    EXPECT_EQ(std::string(error.what()),
              "a png without a palette has no " + name + ": leave it out, or say palette true");
  }
  EXPECT_EQ(read_header(processed(picture, R"({"format":"png","palette":false,"quality":50})")).palette_bits, 0);
}

TEST(Encode, AFormatWithoutRoomSaysSo) {
  const auto refusal = [](int width, int height, const std::string& format) {
    const cv::Mat picture(height, width, CV_8UC3, cv::Scalar(1, 2, 3));
    const auto error =
        error_of([&] { (void)processed(picture, R"({"max_input_side":100000,"format":")" + format + "\"}"); });
    EXPECT_EQ(error.code(), JobErrorCode::kInvalidArgument);
    EXPECT_EQ(error.field(), "format");
    return std::string(error.what());
  };
  EXPECT_EQ(refusal(2, 16'384, "webp"),
            "webp has at most 16383 pixels a side, and the result has 2 x 16384: resize it, or choose png");
  EXPECT_THAT(refusal(65'501, 1, "jpeg"), testing::HasSubstr("65500 pixels"));
  EXPECT_THAT(refusal(65'536, 1, "gif"), testing::HasSubstr("65535 pixels"));
  EXPECT_THAT(refusal(65'537, 1, "avif"), testing::HasSubstr("65536 pixels"));
  EXPECT_EQ(read_header(processed(gradient(2, 16'384), R"({"format":"png"})")).height, 16'384U);
}

TEST(Metadata, ThatAJpegHasNoRoomForIsRefused) {
  const auto made = [](std::size_t exif_bytes, const std::string& format) {
    File exif = exif_block(1);
    exif.resize(6 + exif_bytes);
    FakeJob job(sdk::find_kind("image.process"), R"({"keep_metadata":true,"format":")" + format + "\"}");
    const File file = with_exif(file_of(gradient(40, 20), Format::kWebp), Format::kWebp, exif);
    job.add_input(file).run();
    const FakeJob reader(kNothing);
    return open_decoder(job.bytes(), FailOn::kWarning, reader)->metadata().exif.size();
  };
  EXPECT_EQ(made(65'527, "jpeg"), 65'527U);
  EXPECT_EQ(made(65'528, "webp"), 65'528U);
  const auto error = error_of([&] { (void)made(65'528, "jpeg"); });
  EXPECT_EQ(error.code(), JobErrorCode::kInvalidArgument);
  EXPECT_EQ(error.field(), "keep_metadata");
  EXPECT_STREQ(error.what(),
               "a jpeg has room for 65527 bytes of EXIF, and the picture has 65528: choose png or webp, or leave "
               "keep_metadata out");
}

TEST(Metadata, IsDroppedUnlessItIsAskedFor) {
  const std::string packet = "<x:xmpmeta xmlns:x='adobe:ns:meta/'/>";
  File source = with_exif(file_of(gradient(40, 20), Format::kJpeg), Format::kJpeg, exif_block(6));
  source = with_xmp(source, packet);
  for (const char* format : {"jpeg", "png", "webp", "avif", "tiff"}) {
    const auto made = [&](const std::string& more) {
      FakeJob job(sdk::find_kind("image.resize"),
                  R"({"width":10,"format":")" + std::string(format) + "\"" + more + "}");
      job.add_input(source).run();
      const File file(job.bytes().begin(), job.bytes().end());
      const FakeJob reader(kNothing);
      return open_decoder(file, FailOn::kWarning, reader)->metadata();
    };
    EXPECT_TRUE(made("").exif.empty()) << format;
    EXPECT_TRUE(made("").xmp.empty()) << format;
    const Metadata kept = made(R"(,"keep_metadata":true)");
    EXPECT_EQ(kept.exif.empty(), format == std::string("tiff")) << format;
    EXPECT_EQ(std::string(reinterpret_cast<const char*>(kept.xmp.data()), kept.xmp.size()), packet) << format;
  }
  FakeJob job(sdk::find_kind("image.resize"), R"({"width":10,"keep_metadata":true})");
  job.add_input(source).run();
  EXPECT_EQ(read_header(job.bytes()).orientation, 1);  // it was turned upright
  EXPECT_EQ(read_header(job.bytes()).height, 20U);
}

}  // namespace
}  // namespace quern::image
