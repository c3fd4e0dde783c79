// What a job is said to take from its header, beside what it takes.
#include <gmock/gmock.h>
#include <malloc.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <opencv2/core.hpp>
#include <vector>

#include "common/sanitizer.h"
#include "tests/unit/jobs/pictures.h"
#include "tests/unit/sdk/fake_job.h"

namespace quern::image {
namespace {

using sdk::FakeJob;

// Of the process in kB, the most there ever was.
std::int64_t peak_kb() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss;
}

struct Peak {
  std::int64_t reserved_kb = 0;
  std::int64_t measured_kb = 0;
};

// In a child, which has no peak behind it.
Peak peak_of(const std::vector<File>& inputs, const char* kind, const char* params) {
  auto* shared =
      static_cast<Peak*>(::mmap(nullptr, sizeof(Peak), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  ::malloc_trim(
      0);  // what earlier tests left in the heap would be used again, unseen; the child's peak begins below it
  const pid_t child = ::fork();
  if (child == 0) {
    const std::int64_t before = peak_kb();
    FakeJob job(sdk::find_kind(kind), params);
    for (const File& input : inputs) job.add_input(input);
    job.run();
    *shared = {.reserved_kb = static_cast<std::int64_t>(job.reserved.back() / 1024), .measured_kb = peak_kb() - before};
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  const Peak peak = *shared;
  ::munmap(shared, sizeof(Peak));
  return peak;
}

// What is stored so that decoding takes more.
File non_interleaved(const cv::Mat& picture) { return jpeg_of(picture, {.scans_apart = true}); }
File stored_as_rgb(const cv::Mat& picture) { return jpeg_of(picture, {.rgb = true}); }
File inks(const cv::Mat& picture) { return jpeg_of(with_alpha_of(picture, 200), {.cmyk = true}); }
File progressive_inks(const cv::Mat& picture) {
  return jpeg_of(with_alpha_of(picture, 200), {.cmyk = true, .progressive = true});
}

File transparent(const cv::Mat& picture) { return file_of(with_alpha_of(picture, 200), Format::kPng); }

// AV1 takes long to encode.
File avif_of_a_quarter(const cv::Mat& picture) {
  return file_of(picture(cv::Rect(0, 0, picture.cols / 2, picture.rows / 2)), Format::kAvif);
}

struct Way {
  const char* name;
  Format format;
  const char* kind;
  const char* params;
  int inputs = 1;  // 2: the same upside down, too
  File (*file)(const cv::Mat& picture) = nullptr;
  cv::Size size = {6000, 4000};
};

class Estimate : public testing::TestWithParam<Way> {};
INSTANTIATE_TEST_SUITE_P(
    Of, Estimate,
    testing::Values(
        Way{"JpegSmall", Format::kJpeg, "image.resize", R"({"width":320,"format":"webp"})"},
        Way{"JpegWhole", Format::kJpeg, "image.process", R"({"operations":[{"op":"blur","sigma":2}],"format":"jpeg"})"},
        Way{"JpegToPng", Format::kJpeg, "image.resize", R"({"width":3000,"format":"png"})"},
        Way{"PngSmall", Format::kPng, "image.resize", R"({"width":320,"format":"jpeg"})"},
        Way{"PngToWebp", Format::kPng, "image.resize", R"({"width":3000,"format":"webp"})"},
        Way{"WebpSmall", Format::kWebp, "image.resize", R"({"width":320,"format":"jpeg"})"},
        Way{"WebpRotated", Format::kWebp, "image.process",
            R"({"operations":[{"op":"rotate","angle":10}],"format":"jpeg"})"},
        Way{"JpegTurnedAcross", Format::kJpeg, "image.process",
            R"({"operations":[{"op":"rotate","angle":45,"background":"transparent"}],"format":"png"})"},
        Way{"PngGrownFromLittle", Format::kPng, "image.process",
            R"({"operations":[{"op":"resize","width":60},{"op":"extend","left":6000,"bottom":5000},
                                          {"op":"blur","sigma":2}],"format":"jpeg"})"},
        Way{"JpegEnlargedLate", Format::kJpeg, "image.process",
            R"({"operations":[{"op":"resize","width":60},{"op":"flip"},{"op":"resize","width":7000}],"format":"jpeg"})"},
        Way{"JpegsMarked", Format::kJpeg, "image.process",
            R"({"operations":[{"op":"composite","opacity":0.5}],"format":"jpeg"})", 2},
        Way{"PngMeasured", Format::kPng, "image.stats", "{}"}, Way{"WebpMeasured", Format::kWebp, "image.stats", "{}"},
        Way{"JpegsCompared", Format::kJpeg, "image.compare", "{}", 2, nullptr, {2400, 1600}},
        Way{"PngsCompared", Format::kPng, "image.compare", "{}", 2, nullptr, {2400, 1600}},
        Way{"PngsWithAlphaCompared", Format::kPng, "image.compare", "{}", 2, transparent, {2400, 1600}},
        Way{"WidePngsCompared", Format::kPng, "image.compare", "{}", 2, nullptr, {65'000, 60}},
        Way{"WideAndLowPngsCompared", Format::kPng, "image.compare", "{}", 2, nullptr, {65'000, 10}},
        Way{"JpegOfScansApart", Format::kJpeg, "image.resize", R"({"width":320,"format":"jpeg"})", 1, non_interleaved},
        Way{"JpegOfRgb", Format::kJpeg, "image.resize", R"({"width":5000,"format":"jpeg"})", 1, stored_as_rgb},
        Way{"JpegOfInks", Format::kJpeg, "image.resize", R"({"width":6000,"height":8,"fit":"fill","format":"jpeg"})", 1,
            inks},
        Way{"JpegOfProgressiveInks", Format::kJpeg, "image.resize", R"({"width":320,"format":"jpeg"})", 1,
            progressive_inks},
        Way{"PngCutFromWhatIsVast", Format::kPng, "image.resize",
            R"({"width":16383,"height":10,"position":"attention","format":"png"})"},
        Way{"WebpShrunk", Format::kWebp, "image.resize", R"({"width":600,"format":"png"})"},
        Way{"AvifSmall", Format::kAvif, "image.resize", R"({"width":320,"format":"jpeg"})", 1, avif_of_a_quarter},
        Way{"PngToPalette", Format::kPng, "image.resize", R"({"width":1800,"format":"png","palette":true})"},
        Way{"PngToGif", Format::kPng, "image.resize", R"({"width":1800,"format":"gif"})"},
        Way{"JpegsPlaceholder", Format::kJpeg, "image.placeholder", "{}"},
        Way{"PngsPlaceholder", Format::kPng, "image.placeholder", "{}"}),
    [](const auto& each) { return each.param.name; });

// A peak under a sanitizer is the sanitizer's.
TEST_P(Estimate, IsNoLessThanThePeakAndNotFarAboveIt) {
  if (kSanitized) GTEST_SKIP() << "a sanitizer's own memory would be measured";
  const Way& way = GetParam();
  const auto file = [&](const cv::Mat& picture) {
    return way.file != nullptr ? way.file(picture) : file_of(picture, way.format);
  };
  const cv::Mat picture = gradient(way.size.width, way.size.height);
  std::vector<File> inputs{file(picture)};
  if (way.inputs == 2) {
    cv::Mat upside_down;
    cv::flip(picture, upside_down, 0);
    inputs.push_back(file(upside_down));
  }
  const Peak peak = peak_of(inputs, way.kind, way.params);
  EXPECT_GE(peak.reserved_kb, peak.measured_kb);
  // a job that takes nearly nothing still reserves its base
  EXPECT_LE(peak.reserved_kb, 5 * peak.measured_kb + 16 * 1024);
  RecordProperty("reserved_kb", std::to_string(peak.reserved_kb));
  RecordProperty("measured_kb", std::to_string(peak.measured_kb));
}

}  // namespace
}  // namespace quern::image
