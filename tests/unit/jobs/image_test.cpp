// image.resize, as a job.
#include <dirent.h>
#include <gmock/gmock.h>
#include <sys/resource.h>

#include "tests/unit/jobs/pictures.h"
#include "tests/unit/sdk/fake_job.h"

namespace quern::image {
namespace {

using sdk::error_of;
using sdk::FakeJob;
using sdk::JobErrorCode;
using testing::HasSubstr;

class Preloaded : public testing::Environment {
 public:
  void SetUp() override { quern_job_module_v1()->preload(); }
};
[[maybe_unused]] const auto* const kPreloaded = testing::AddGlobalTestEnvironment(new Preloaded);

File resize(const File& file, std::string_view params) {
  FakeJob job(sdk::find_kind("image.resize"), params);
  job.add_input(file).run();
  return {job.bytes().begin(), job.bytes().end()};
}

cv::Mat resized(const File& file, std::string_view params) { return picture_of(resize(file, params)); }

sdk::JobError refused(const File& file, std::string_view params) {
  return error_of([&] { (void)resize(file, params); });
}

File png(const cv::Mat& picture) { return file_of(picture, Format::kPng); }

TEST(ImageModule, StartsNoThread) {
  (void)resize(png(gradient(300, 300)), R"({"width":100})");
  int threads = 0;
  DIR* tasks = ::opendir("/proc/self/task");
  while (const dirent* entry = ::readdir(tasks)) threads += entry->d_name[0] != '.' ? 1 : 0;
  ::closedir(tasks);
  EXPECT_EQ(threads, 1);
}

TEST(ImageResize, EachFitGivesItsSize) {
  const File file = png(gradient(200, 100));
  const auto size = [&](const char* fit) {
    return resized(file, R"({"width":60,"height":60,"fit":")" + std::string(fit) + "\"}").size();
  };
  EXPECT_EQ(size("cover"), cv::Size(60, 60));
  EXPECT_EQ(size("contain"), cv::Size(60, 60));
  EXPECT_EQ(size("fill"), cv::Size(60, 60));
  EXPECT_EQ(size("inside"), cv::Size(60, 30));
  EXPECT_EQ(size("outside"), cv::Size(120, 60));
}

TEST(ImageResize, TheFormatIsTheInputsUnlessAsked) {
  for (const Format format : {Format::kJpeg, Format::kPng, Format::kWebp}) {
    EXPECT_EQ(read_header(resize(file_of(gradient(40, 40), format), R"({"width":20})")).format, format);
    EXPECT_EQ(read_header(resize(file_of(gradient(40, 40), format), R"({"width":20,"format":"webp"})")).format,
              Format::kWebp);
    EXPECT_EQ(read_header(resize(file_of(gradient(40, 40), format), R"({"width":20,"format":"jpeg"})")).format,
              Format::kJpeg);
    EXPECT_EQ(read_header(resize(file_of(gradient(40, 40), format), R"({"width":20,"format":"png"})")).format,
              Format::kPng);
  }
}

TEST(ImageResize, QualityCostsBytes) {
  cv::Mat noise(200, 200, CV_8UC3);
  cv::randu(noise, 0, 255);
  for (const char* format : {"webp", "jpeg"}) {
    const auto bytes = [&](int quality) {
      return resize(png(noise), R"({"width":100,"format":")" + std::string(format) + R"(","quality":)" +
                                    std::to_string(quality) + "}")
          .size();
    };
    EXPECT_LT(bytes(10), bytes(80));
    EXPECT_LT(bytes(80), bytes(100));
  }
}

// ---- Pixels ------------------------------------------------------------------------------------------

TEST(ImageResize, TheSameSizeKeepsEveryPixel) {
  const cv::Mat picture = gradient(61, 43);
  EXPECT_EQ(difference(resized(png(picture), R"({"width":61})"), picture), 0);
  const cv::Mat transparent = with_alpha_of(picture, 3);
  EXPECT_EQ(difference(resized(png(transparent), R"({"width":61})"), transparent), 0);
}

TEST(ImageResize, ReducingAveragesEveryPixel) {
  // a chessboard of single pixels: what looks at some of them only gives black or white
  cv::Mat board(128, 128, CV_8UC3);
  for (int y = 0; y < 128; ++y) {
    for (int x = 0; x < 128; ++x) board.at<cv::Vec3b>(y, x) = cv::Vec3b::all((x + y) % 2 == 0 ? 0 : 255);
  }
  for (const char* params :
       {R"({"width":16})", R"({"width":15,"height":15})", R"({"width":16,"height":256,"fit":"fill"})"}) {
    const cv::Mat small = resized(png(board), params);
    EXPECT_LE(difference(small, cv::Mat(small.size(), CV_8UC3, cv::Scalar::all(127.5))), 16) << params;
  }
}

TEST(ImageResize, CoverKeepsTheMiddle) {
  cv::Mat picture(100, 300, CV_8UC3, cv::Scalar(255, 0, 0));
  picture(cv::Rect(100, 0, 100, 100)).setTo(cv::Scalar(0, 0, 255));
  const cv::Mat cut = resized(png(picture), R"({"width":50,"height":50})");
  const cv::Rect inside(4, 0, 42, 50);  // the kernel rings at the edges of the colour, which are those of the cut
  EXPECT_EQ(difference(cut(inside).clone(), cv::Mat(inside.size(), CV_8UC3, cv::Scalar(0, 0, 255))), 0);
  EXPECT_LE(difference(cut, cv::Mat(50, 50, CV_8UC3, cv::Scalar(0, 0, 255))), 24);
}

// A picture far longer than any output: only its middle is ever scaled.
TEST(ImageResize, CoverOfAnExtremeShapeIsCheap) {
  cv::Mat ribbon(2, 60'000, CV_8UC3, cv::Scalar(10, 20, 30));
  const cv::Mat cut = resized(png(ribbon), R"({"width":1000,"height":1000})");
  EXPECT_LE(difference(cut, cv::Mat(1000, 1000, CV_8UC3, cv::Scalar(10, 20, 30))), 0);
}

TEST(ImageResize, NoColourLeaksOutOfTransparency) {
  cv::Mat picture(64, 64, CV_8UC4, cv::Scalar(0, 255, 0, 0));  // invisible green
  picture(cv::Rect(16, 16, 33, 33)).setTo(cv::Scalar(255, 0, 0, 255));
  for (const char* params : {R"({"width":20})", R"({"width":200})"}) {
    const cv::Mat out = resized(png(picture), params);
    for (int y = 0; y < out.rows; ++y) {
      for (int x = 0; x < out.cols; ++x) {
        const cv::Vec4b pixel = out.at<cv::Vec4b>(y, x);
        if (pixel[3] == 0) continue;
        ASSERT_EQ(pixel[1], 0) << "green at " << x << "," << y;
        ASSERT_GE(pixel[0], 253);
      }
    }
  }
}

class Orientation : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(All, Orientation, testing::Range(1, 9));

TEST_P(Orientation, EveryStoredFormIsTheSamePicture) {
  const cv::Mat picture = quarters(60, 40);
  const File file = with_exif(png(stored_as(picture, GetParam())), Format::kPng, exif_block(GetParam()));
  EXPECT_EQ(difference(resized(file, R"({"width":60,"height":40})"), picture), 0);
  EXPECT_EQ(difference(resized(file, R"({"width":60})"), picture), 0);
  constexpr double kRinging = 30;  // of the kernel, at edges between colours that differ by 255
  EXPECT_LE(difference(resized(file, R"({"width":30})"), quarters(30, 20)), kRinging);
  EXPECT_LE(difference(resized(file, R"({"width":30,"height":40,"fit":"contain"})")(cv::Rect(0, 10, 30, 20)),
                       quarters(30, 20)),
            kRinging);
}

TEST_P(Orientation, IsAppliedToEveryFormat) {
  const cv::Mat picture = quarters(160, 120);
  for (const Format format : {Format::kJpeg, Format::kWebp}) {
    const File file =
        with_exif(file_of(stored_as(picture, GetParam()), format), format, exif_block(GetParam(), ByteOrder::kBig));
    const cv::Mat out = resized(file, R"({"width":40,"format":"png"})");
    ASSERT_EQ(out.size(), cv::Size(40, 30));
    EXPECT_GT(out.at<cv::Vec3b>(5, 5)[0], 200);  // red
    EXPECT_LT(out.at<cv::Vec3b>(5, 5)[1], 50);
    EXPECT_GT(out.at<cv::Vec3b>(5, 35)[1], 200);  // green
    EXPECT_GT(out.at<cv::Vec3b>(25, 5)[2], 200);  // blue
    EXPECT_LT(out.at<cv::Vec3b>(25, 5)[0], 50);
    EXPECT_GT(out.at<cv::Vec3b>(25, 35)[0], 200);  // white
  }
}

TEST_P(Orientation, IsNotAppliedWhenNotWanted) {
  const cv::Mat stored = stored_as(quarters(60, 40), GetParam());
  const File file = with_exif(png(stored), Format::kPng, exif_block(GetParam()));
  const std::string params = R"({"auto_orient":false,"width":)" + std::to_string(stored.cols) + "}";
  EXPECT_EQ(difference(resized(file, params), stored), 0);
}

TEST(ImageResize, TheResultIsUprightByItself) {
  const File file = with_exif(file_of(quarters(40, 60), Format::kJpeg), Format::kJpeg, exif_block(6));
  EXPECT_EQ(read_header(resize(file, R"({"width":30})")).orientation, 1);
}

// ---- Background --------------------------------------------------------------------------------------

TEST(ImageResize, ContainIsPaddedWithBlackOrTheAskedColour) {
  const File file = png(cv::Mat(10, 20, CV_8UC3, cv::Scalar(1, 2, 3)));
  const auto corner = [&](const char* params) {
    const cv::Mat out = resized(file, params);
    return out.channels() == 4
               ? out.at<cv::Vec4b>(0, 0)
               : cv::Vec4b(out.at<cv::Vec3b>(0, 0)[0], out.at<cv::Vec3b>(0, 0)[1], out.at<cv::Vec3b>(0, 0)[2], 255);
  };
  EXPECT_EQ(corner(R"({"width":20,"height":20,"fit":"contain"})"), cv::Vec4b(0, 0, 0, 255));
  EXPECT_EQ(corner(R"({"width":20,"height":20,"fit":"contain","background":"#102030"})"),
            cv::Vec4b(0x10, 0x20, 0x30, 255));
  EXPECT_EQ(corner(R"({"width":20,"height":20,"fit":"contain","background":"#FfA"})"),
            cv::Vec4b(0xff, 0xff, 0xaa, 255));
  EXPECT_EQ(corner(R"({"width":20,"height":20,"fit":"contain","background":"#10203040"})"),
            cv::Vec4b(0x10, 0x20, 0x30, 0x40));
  EXPECT_EQ(corner(R"({"width":20,"height":20,"fit":"contain","background":"#0000"})"), cv::Vec4b(0, 0, 0, 0));
}

TEST(ImageResize, ATransparentPictureIsPaddedWithTransparency) {
  const File file = png(with_alpha_of(gradient(20, 10), 128));
  EXPECT_EQ(resized(file, R"({"width":20,"height":20,"fit":"contain"})").at<cv::Vec4b>(0, 0), cv::Vec4b(0, 0, 0, 0));
  EXPECT_EQ(resized(file, R"({"width":20,"height":20,"fit":"contain","background":"#ffffff"})").at<cv::Vec4b>(0, 0),
            cv::Vec4b(255, 255, 255, 255));
}

TEST(ImageResize, JpegHasNoAlphaAndGetsTheBackground) {
  const File file = png(cv::Mat(16, 16, CV_8UC4, cv::Scalar(255, 255, 255, 0)));
  const auto middle = [&](const char* params) { return resized(file, params).at<cv::Vec3b>(8, 8); };
  EXPECT_EQ(middle(R"({"width":16,"format":"jpeg"})"), cv::Vec3b(0, 0, 0));
  EXPECT_EQ(middle(R"({"width":16,"format":"jpeg","background":"#ffffff"})"), cv::Vec3b(255, 255, 255));
}

// ---- Refusals ----------------------------------------------------------------------------------------

TEST(ImageResize, ASideIsRequired) { EXPECT_EQ(refused(png(gradient(4, 4)), "{}").field(), "width"); }

TEST(ImageResize, ABadColourIsNamed) {
  for (const char* color : {"reddish", "#", "#12", "#12345", "#1234567", "#gggggg", "123456"}) {
    const auto error = refused(png(gradient(4, 4)), R"({"width":4,"background":")" + std::string(color) + "\"}");
    EXPECT_EQ(error.code(), JobErrorCode::kInvalidArgument) << color;
    EXPECT_EQ(error.field(), "background") << color;
  }
}

TEST(ImageResize, AResultWithAnImpossibleSideIsRefused) {
  const auto error = refused(png(gradient(100, 2)), R"({"height":1000,"format":"webp"})");
  EXPECT_EQ(error.code(), JobErrorCode::kInvalidArgument);
  EXPECT_THAT(error.what(), HasSubstr("50000 x 1000"));
}

long peak_kib() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss;
}

TEST(ImageResize, ABombIsRefusedFromItsHeader) {
  const long before = peak_kib();
  for (const File& bomb : {png_claiming(50'000, 50'000), jpeg_claiming(65'000, 65'000)}) {
    const auto error = refused(bomb, R"({"width":10})");
    EXPECT_EQ(error.code(), JobErrorCode::kTooLarge) << error.what();
    EXPECT_EQ(error.field(), "max_input_pixels");
    EXPECT_THAT(error.what(), HasSubstr("268402689"));
  }
  EXPECT_EQ(refused(png_claiming(2'000'000'000, 2'000'000'000), R"({"width":10})").code(), JobErrorCode::kTooLarge);
  EXPECT_LE(peak_kib() - before, 16384);  // the pixels would be gigabytes; a sanitizer keeps some of its own
}

TEST(ImageResize, TheLimitOfInputPixelsIsExact) {
  const File file = png(gradient(20, 10));
  EXPECT_EQ(refused(file, R"({"width":4,"max_input_pixels":199})").code(), JobErrorCode::kTooLarge);
  EXPECT_EQ(resized(file, R"({"width":4,"max_input_pixels":200})").cols, 4);
}

TEST(ImageResize, StopsWhenAsked) {
  const File file = file_of(gradient(600, 600), Format::kJpeg);
  FakeJob whole(sdk::find_kind("image.resize"), R"({"width":500,"format":"webp"})");
  whole.add_input(file).run();
  ASSERT_GT(whole.polls, 10U);
  for (std::size_t polls = 1; polls + 1 < whole.polls; polls += 7) {
    FakeJob job(sdk::find_kind("image.resize"), R"({"width":500,"format":"webp"})");
    job.polls_until_cancel = polls;
    job.add_input(file);
    ASSERT_EQ(error_of([&] { job.run(); }).code(), JobErrorCode::kCancelled) << polls;
  }
}

}  // namespace
}  // namespace quern::image
