// image.process and what all kinds share: outputs, limits, damage.
#include <gmock/gmock.h>

#include <boost/json/parse.hpp>
#include <opencv2/imgproc.hpp>
#include <random>

#include "tests/unit/jobs/profiles.h"

namespace quern::image {
namespace {

namespace json = boost::json;
using sdk::error_of;
using sdk::FakeJob;
using sdk::JobErrorCode;
using testing::HasSubstr;

const sdk::Kind kNothing{};

File png(const cv::Mat& picture) { return file_of(picture, Format::kPng); }

cv::Mat processed(const File& file, std::string_view params) {
  FakeJob job(sdk::find_kind("image.process"), params);
  job.add_input(file).run();
  return picture_of(job.bytes());
}

// White but for what lies `margin` from the left on.
cv::Mat one_color_framed(int width, int height, int margin) {
  cv::Mat out(height, width, CV_8UC3, cv::Scalar::all(255));
  out.colRange(margin, width).setTo(cv::Scalar(10, 20, 30));
  return out;
}

TEST(ImageProcess, MakesAPartForEachOutputInTheirOrder) {
  FakeJob job(sdk::find_kind("image.process"),
              R"({"operations":[{"op":"flip"}],
                  "outputs":[{"name":"small","operations":[{"op":"resize","width":20}],"format":"png"},
                             {"name":"whole","format":"webp","lossless":true},
                             {"name":"grey","operations":[{"op":"greyscale"}],"format":"jpeg"}]})");
  const cv::Mat picture = quarters(60, 40);
  job.add_input(png(picture)).run();
  ASSERT_EQ(job.outputs.size(), 3U);
  EXPECT_EQ(job.outputs[0].name(), "small");
  EXPECT_EQ(picture_of(job.outputs[0].bytes()).size(), cv::Size(20, 13));
  EXPECT_EQ(job.outputs[1].name(), "whole");
  cv::Mat upside_down;
  cv::flip(picture, upside_down, 0);
  EXPECT_EQ(difference(picture_of(job.outputs[1].bytes()), upside_down), 0);
  EXPECT_EQ(read_header(job.outputs[2].bytes()).space, ColorSpace::kGrey);
}

TEST(ImageProcess, EachOutputIsWhatItWouldBeAlone) {
  const File photo = file_of(gradient(640, 480), Format::kJpeg);
  FakeJob both(sdk::find_kind("image.process"),
               R"({"outputs":[{"name":"a","operations":[{"op":"resize","width":300}],"format":"png"},
                              {"name":"b","operations":[{"op":"resize","width":80,"height":80,"position":"east"}],"format":"png"}]})");
  both.add_input(photo).run();
  FakeJob alone(sdk::find_kind("image.resize"), R"({"width":80,"height":80,"position":"east","format":"png"})");
  alone.add_input(photo).run();
  // decoded larger for the larger one, and reduced further by the kernel
  EXPECT_LE(difference(picture_of(both.outputs[1].bytes()), picture_of(alone.bytes())), 6);
}

TEST(ImageProcess, NamesOfOutputsAreTheirOwn) {
  const auto error =
      error_of([&] { (void)processed(png(gradient(4, 4)), R"({"outputs":[{"name":"a"},{"name":"a"}]})"); });
  EXPECT_EQ(error.field(), "outputs[1].name");
}

TEST(ImageProcess, OptionsBesideOutputsAreRefusedByName) {
  const std::string outputs = R"("outputs":[{"name":"a","format":"webp","quality":80}])";
  for (const auto& [option, name] :
       {std::pair(R"("format":"jpeg")", "format"), std::pair(R"("quality":3)", "quality"),
        std::pair(R"("lossless":true)", "lossless"), std::pair(R"("keep_icc":true)", "keep_icc"),
        std::pair(R"("keep_metadata":false)", "keep_metadata"), std::pair(R"("side":8)", "side")}) {
    const auto error =
        error_of([&, o = option] { (void)processed(png(gradient(4, 4)), "{" + outputs + "," + o + "}"); });
    EXPECT_EQ(error.code(), JobErrorCode::kInvalidArgument);
    EXPECT_EQ(error.field(), name);
    EXPECT_THAT(error.what(), HasSubstr(std::string(name) + " stands beside outputs"));
  }
  EXPECT_EQ(processed(png(gradient(4, 4)), "{" + outputs + R"(,"animated":false,"operations":[]})").size(),
            cv::Size(4, 4));
}

TEST(ImageProcess, LaysTheSecondPartOnTheFirst) {
  FakeJob job(sdk::find_kind("image.process"),
              R"({"operations":[{"op":"composite","gravity":"southeast"}],"format":"png"})");
  job.add_input(png(cv::Mat(20, 20, CV_8UC3, cv::Scalar(0, 0, 255))))
      .add_input(png(cv::Mat(5, 5, CV_8UC3, cv::Scalar(255, 0, 0))))
      .run();
  const cv::Mat out = picture_of(job.bytes());
  EXPECT_EQ(out.at<cv::Vec3b>(19, 19), cv::Vec3b(255, 0, 0));
  EXPECT_EQ(out.at<cv::Vec3b>(14, 14), cv::Vec3b(0, 0, 255));
}

TEST(ImageProcess, DecodesAnotherPartOnlyWhenAnOperationAsksForIt) {
  File half = png(gradient(50, 50));
  half.resize(half.size() / 2);
  const auto run = [&](const char* op) {
    FakeJob job(sdk::find_kind("image.process"),
                R"({"operations":[{"op":")" + std::string(op) + R"("}],"format":"png"})");
    job.add_input(png(gradient(50, 50))).add_input(half).run();
  };
  run("flip");
  EXPECT_THAT(error_of([&] { run("composite"); }).what(), HasSubstr("input 2"));
}

// A transparent picture as a JPEG.
cv::Vec3b under_alpha(const std::string& params) {
  return processed(png(with_alpha_of(gradient(60, 40), 0)), params).at<cv::Vec3b>(5, 5);
}

TEST(ImageProcess, LaysWhatIsTransparentOnTheLastBackgroundThatAResizeNames) {
  const auto of = [](const std::string& operations) {
    return under_alpha(R"({"format":"jpeg","operations":[)" + operations + "]}");
  };
  EXPECT_EQ(of(R"({"op":"resize","width":30,"background":"#fff"})"), cv::Vec3b::all(255));
  EXPECT_EQ(of(R"({"op":"flip"},{"op":"resize","width":30,"background":"#fff"})"), cv::Vec3b::all(255));
  EXPECT_EQ(of(R"({"op":"resize","width":30,"background":"#fff"},{"op":"resize","width":20},{"op":"flop"})"),
            cv::Vec3b::all(255));
  EXPECT_EQ(of(R"({"op":"resize","width":30,"background":"#f00"},{"op":"resize","width":20,"background":"#fff"})"),
            cv::Vec3b::all(255));
  EXPECT_EQ(of(R"({"op":"resize","width":30})"), cv::Vec3b::all(0));
}

TEST(ImageProcess, TheBackgroundOfASharedResizeIsThatOfEachOutput) {
  FakeJob job(sdk::find_kind("image.process"),
              R"({"operations":[{"op":"resize","width":30,"background":"#fff"}],
                  "outputs":[{"name":"a","format":"jpeg"},
                             {"name":"b","format":"jpeg","operations":[{"op":"resize","width":20,"background":"#000"}]}]})");
  job.add_input(png(with_alpha_of(gradient(60, 40), 0))).run();
  EXPECT_EQ(picture_of(job.outputs[0].bytes()).at<cv::Vec3b>(5, 5), cv::Vec3b::all(255));
  EXPECT_EQ(picture_of(job.outputs[1].bytes()).at<cv::Vec3b>(5, 5), cv::Vec3b::all(0));
}

TEST(ImageProcess, WritesOpaqueAlphaOnlyWhereItIsEnsured) {
  FakeJob job(sdk::find_kind("image.process"),
              R"({"outputs":[{"name":"a","format":"png","operations":[{"op":"ensure_alpha"},{"op":"flip"}]},
                             {"name":"b","format":"tiff","operations":[{"op":"ensure_alpha"}]},
                             {"name":"c","format":"jpeg","operations":[{"op":"ensure_alpha"}]},
                             {"name":"d","format":"png","operations":[{"op":"ensure_alpha"},{"op":"remove_alpha"}]},
                             {"name":"e","format":"png"}]})");
  job.add_input(png(with_alpha_of(gradient(60, 40), 255))).run();
  ASSERT_EQ(job.outputs.size(), 5U);
  for (const auto& output : job.outputs) {
    EXPECT_EQ(read_header(output.bytes()).alpha, output.name() <= "b") << output.name();
  }
}

// ---- Animations --------------------------------------------------------------------------------------

std::vector<cv::Mat> moving_square() {
  std::vector<cv::Mat> frames;
  for (int i = 0; i < 4; ++i) {
    cv::Mat frame(48, 64, CV_8UC4, cv::Scalar(0, 0, 0, 0));
    frame(cv::Rect(4 + 12 * i, 10, 12, 20)).setTo(cv::Scalar(250, 40, 10, 255));
    frames.push_back(frame);
  }
  return frames;
}

File animated(Format format, std::uint32_t loops) {
  FakeJob job(kNothing);
  EncodeOptions options{.format = format, .lossless = true};
  options.frames = 4;
  options.loops = loops;
  const auto encoder = make_encoder(options, job);
  std::uint32_t delay = 40;
  for (const cv::Mat& frame : moving_square()) encoder->add({.picture = frame, .delay_ms = delay += 20});
  encoder->finish(job.output({}));
  return {job.bytes().begin(), job.bytes().end()};
}

TEST(Animation, ComesBackFrameByFrameWithItsDelaysAndLoops) {
  for (const Format format : {Format::kWebp, Format::kGif}) {
    const File file = animated(format, 3);
    const FakeJob job(kNothing);
    const auto decoder = open_decoder(file, FailOn::kWarning, job);
    ASSERT_EQ(decoder->header().frames, 4U);
    EXPECT_EQ(decoder->header().loops, 3U);
    EXPECT_EQ(decoder->header().delays_ms, (std::vector<std::uint32_t>{60, 80, 100, 120}));
    for (const cv::Mat& expected : moving_square()) {
      const Frame frame = decoder->next({});
      EXPECT_EQ(difference(std::get<cv::Mat>(frame.picture), expected), 0) << name_of(format);
    }
  }
}

// Animated in, animated out, whatever is done to it; and one frame where the format has but one.
TEST(Animation, GoesThroughResizeAndOperations) {
  for (const Format from : {Format::kWebp, Format::kGif}) {
    const File file = animated(from, 0);
    for (const char* to : {"webp", "gif"}) {
      FakeJob job(sdk::find_kind("image.process"),
                  R"({"operations":[{"op":"resize","width":32},{"op":"flop"}],"format":")" + std::string(to) + "\"}");
      job.add_input(file).run();
      const FakeJob reader(kNothing);
      const auto decoder = open_decoder(job.bytes(), FailOn::kWarning, reader);
      ASSERT_EQ(decoder->header().frames, 4U) << to;
      EXPECT_EQ(decoder->header().width, 32U);
      EXPECT_EQ(decoder->header().loops, 0U);
      for (int i = 0; i < 4; ++i) {
        const Frame frame = decoder->next({});
        const auto& pixels = std::get<cv::Mat>(frame.picture);
        const cv::Vec4b middle = pixels.at<cv::Vec4b>(10, 31 - (10 + 12 * i) / 2);
        EXPECT_GT(middle[0], 200) << i << to;
        EXPECT_GT(middle[3], 200) << i << to;
        EXPECT_LT(pixels.at<cv::Vec4b>(20, 16)[3], 60);
        EXPECT_EQ(frame.delay_ms, 60U + 20 * static_cast<std::uint32_t>(i));
      }
    }
    EXPECT_EQ(read_header([&] {
                FakeJob job(sdk::find_kind("image.resize"), R"({"width":32,"format":"png"})");
                job.add_input(file).run();
                return File(job.bytes().begin(), job.bytes().end());
              }())
                  .frames,
              1U);
    EXPECT_EQ(processed(file, R"({"animated":false,"format":"webp"})").size(), cv::Size(64, 48));
  }
}

TEST(Animation, CutShortOrChangedItIsAPictureOrAnError) {
  std::minstd_rand random(5);
  const File file = animated(Format::kWebp, 1);
  for (int round = 0; round < 1500; ++round) {
    File broken = file;
    for (int i = 0; i < 1 + round % 4; ++i) broken[random() % broken.size()] = static_cast<std::byte>(random());
    if (round % 4 == 0) broken.resize(random() % broken.size());
    FakeJob job(sdk::find_kind("image.resize"), round % 2 == 0
                                                    ? R"({"width":16,"max_input_pixels":100000,"fail_on":"none"})"
                                                    : R"({"width":16,"max_input_pixels":100000})");
    job.add_input(broken);
    try {
      job.run();
    } catch (const sdk::JobError& error) {
      ASSERT_NE(error.code(), JobErrorCode::kInternal) << error.what();
    } catch (const std::bad_alloc&) {
    }
  }
}

// ---- Limits ------------------------------------------------------------------------------------------

TEST(ImageLimits, EachNamesItself) {
  const File file = png(gradient(200, 100));
  for (const auto& [params, field] : {std::pair(R"({"max_input_pixels":19999})", "max_input_pixels"),
                                      std::pair(R"({"max_input_side":199})", "max_input_side"),
                                      std::pair(R"({"max_input_bytes":100})", "max_input_bytes")}) {
    const auto error = error_of([&, p = params] { (void)processed(file, p); });
    EXPECT_EQ(error.code(), JobErrorCode::kTooLarge);
    EXPECT_EQ(error.field(), field) << error.what();
  }
  EXPECT_EQ(processed(file, R"({"max_input_pixels":20000,"max_input_side":200})").size(), cv::Size(200, 100));
  const File moving = animation_of({10, 10}, {gradient(10, 10), gradient(10, 10), gradient(10, 10)}, {0, 0});
  EXPECT_EQ(error_of([&] { (void)processed(moving, R"({"max_input_frames":2})"); }).field(), "max_input_frames");
  EXPECT_EQ(error_of([&] { (void)processed(moving, R"({"max_input_pixels":299})"); }).field(), "max_input_pixels");
}

TEST(ImageLimits, NothingIsReservedForWhatIsRefused) {
  FakeJob job(sdk::find_kind("image.process"), R"({"max_input_pixels":1000})");
  const File claim = png_claiming(30'000, 30'000);
  job.add_input(claim);
  (void)error_of([&] { job.run(); });
  EXPECT_TRUE(job.reserved.empty());
}

// A header with nothing behind it: whoever decodes it complains of that.
TEST(ImageLimits, AResultThatIsTooLargeIsRefusedBeforeAnythingIsDecoded) {
  const File header = png_claiming(400, 300);
  for (const auto& [operations, field] :
       {std::pair(R"({"op":"extend","left":16000})", "operations[0]"),
        std::pair(R"({"op":"resize","width":16000},{"op":"rotate","angle":30})", "operations[1]"),
        std::pair(R"({"op":"flip"},{"op":"extract","left":300,"top":0,"width":101,"height":1})", "operations[1]")}) {
    FakeJob job(sdk::find_kind("image.process"), R"({"operations":[)" + std::string(operations) + "]}");
    job.add_input(header);
    EXPECT_EQ(error_of([&] { job.run(); }).field(), field);
    EXPECT_TRUE(job.reserved.empty());
  }
  // what trim leaves is known when it was done
  const File framed = png(one_color_framed(300, 200, 280));
  EXPECT_EQ(processed(framed, R"({"operations":[{"op":"trim"},{"op":"extend","left":16300}]})").cols, 16'320);
}

// ---- Damage ------------------------------------------------------------------------------------------

TEST(FailOn, TruncatedIsAPictureOnlyWithNone) {
  for (const Format format : {Format::kJpeg, Format::kPng, Format::kWebp}) {
    // a picture whose rows take about as much each: half of the file is nearly half of them
    cv::Mat picture(256, 256, CV_8UC3);
    cv::randu(picture, 100, 156);
    cv::blur(picture, picture, {9, 9});
    File file = file_of(picture, format);
    file.resize(file.size() / 2);
    for (const char* fail_on : {"truncated", "error", "warning"}) {
      const std::string params = R"({"format":"png","fail_on":")" + std::string(fail_on) + "\"}";
      EXPECT_EQ(error_of([&] { (void)processed(file, params); }).code(), JobErrorCode::kBadInput)
          << fail_on << name_of(format);
    }
    const cv::Mat half = processed(file, R"({"format":"png","fail_on":"none"})");
    ASSERT_EQ(half.size(), picture.size());
    cv::Mat upper = half;
    if (half.channels() == 4) cv::cvtColor(half, upper, cv::COLOR_RGBA2RGB);
    EXPECT_LE(difference(upper(cv::Rect(0, 0, 256, 40)).clone(), picture(cv::Rect(0, 0, 256, 40)).clone()), 24)
        << name_of(format);
  }
}

TEST(FailOn, WarningsAreErrorsByDefault) {
  // a JPEG's coded data with a byte changed: libjpeg goes on with a warning
  File file = file_of(gradient(256, 256), Format::kJpeg);
  int warned = 0;
  for (std::size_t at = file.size() / 2; at < file.size() / 2 + 60; ++at) {
    File broken = file;
    broken[at] = std::byte{0x55};
    const auto outcome = [&](const char* fail_on) {
      try {
        (void)processed(broken, R"({"format":"png","fail_on":")" + std::string(fail_on) + "\"}");
        return true;
      } catch (const sdk::JobError&) {
        return false;
      }
    };
    const bool strict = outcome("warning");
    const bool lenient = outcome("error");
    EXPECT_TRUE(lenient || !strict);
    if (lenient && !strict) ++warned;
  }
  EXPECT_GT(warned, 0);
}

TEST(Hostile, AnyFileIsAPictureOrAnError) {
  std::minstd_rand random(11);
  for (const Format format : {Format::kJpeg, Format::kPng, Format::kWebp, Format::kGif, Format::kTiff}) {
    const File file = file_of(gradient(40, 30), format);
    for (int round = 0; round < 400; ++round) {
      File broken = file;
      for (int i = 0; i < 1 + round % 5; ++i) broken[random() % broken.size()] = static_cast<std::byte>(random());
      if (round % 3 == 0) broken.resize(random() % broken.size());
      constexpr const char* kLevels[] = {"none", "truncated", "error", "warning"};
      const std::string params =
          R"({"max_input_pixels":1000000,"fail_on":")" + std::string(kLevels[round % 4]) +
          R"(","outputs":[{"name":"a","operations":[{"op":"resize","width":16,"height":9}],"format":"webp"},
                                                {"name":"b","operations":[{"op":"resize","width":20}],"format":"jpeg"}]})";
      FakeJob job(sdk::find_kind("image.process"), params);
      job.add_input(broken);
      try {
        job.run();
      } catch (const sdk::JobError& error) {
        ASSERT_NE(error.code(), JobErrorCode::kInternal) << error.what();
      } catch (const std::bad_alloc&) {
      }
    }
  }
}

// ---- image.info --------------------------------------------------------------------------------------

json::object info_of(const File& file) {
  FakeJob job(sdk::find_kind("image.info"), "{}");
  job.add_input(file).run();
  const auto bytes = job.bytes();
  return json::parse(std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size())).as_object();
}

TEST(ImageInfo, TellsWhatTheHeaderSays) {
  const File file = with_exif(file_of(gradient(40, 20), Format::kJpeg), Format::kJpeg, exif_block(6));
  const json::object info = info_of(file);
  EXPECT_EQ(info.at("format"), "jpeg");
  EXPECT_EQ(info.at("width"), 20);
  EXPECT_EQ(info.at("height"), 40);
  EXPECT_EQ(info.at("stored_width"), 40);
  EXPECT_EQ(info.at("orientation"), 6);
  EXPECT_EQ(info.at("chroma_subsampling"), "4:2:0");
  EXPECT_EQ(info.at("bytes"), file.size());
  EXPECT_TRUE(info.at("exif").is_object());
  EXPECT_TRUE(info.at("icc").is_null());
  const json::object wide = info_of(with_profile(with_alpha_of(gradient(4, 4), 9), display_p3()));
  EXPECT_EQ(wide.at("channels"), 4);
  EXPECT_EQ(wide.at("has_alpha"), true);
  EXPECT_EQ(wide.at("icc").as_object().at("bytes"), display_p3().size());
}

TEST(ImageInfo, DecodesNoPixel) {
  // a header with nothing behind it
  const json::object info = info_of(png_claiming(20'000, 10'000));
  EXPECT_EQ(info.at("width"), 20'000);
}

}  // namespace
}  // namespace quern::image
