// The resampler beside a plain one in doubles, on charts that show what goes wrong: aliases, shifts, offsets, haloes.
#include <gmock/gmock.h>

#include <cmath>
#include <functional>
#include <numbers>
#include <opencv2/imgproc.hpp>
#include <optional>

#include "tests/unit/jobs/lanczos.h"
#include "tests/unit/jobs/pictures.h"
#include "worker/jobs/image/compare.h"
#include "worker/jobs/image/resize.h"
#include "worker/jobs/image/yuv.h"

namespace quern::image {
namespace {

using sdk::FakeJob;

const sdk::Kind kNothing{};

cv::Mat grey_chart(cv::Size size, const std::function<double(double x, double y)>& value) {
  cv::Mat chart(size, CV_8UC3);
  for (int y = 0; y < size.height; ++y) {
    for (int x = 0; x < size.width; ++x) {
      chart.at<cv::Vec3b>(y, x) = cv::Vec3b::all(cv::saturate_cast<std::uint8_t>(value(x + 0.5, y + 0.5)));
    }
  }
  return chart;
}

// Charts keep away from black and white: a kernel overshoots there, and between its two passes zimg cuts that off,
// which the doubles do not.

// Rings that get finer outwards, up to one and a half pixels.
cv::Mat zone_plate() {
  return grey_chart({401, 301}, [](double x, double y) {
    const double r2 = (x - 200) * (x - 200) + (y - 150) * (y - 150);
    return 127.5 + 70 * std::cos(r2 * std::numbers::pi / 380);
  });
}
// Strokes of one to five pixels, at hard edges.
cv::Mat strokes() {
  return grey_chart({400, 300}, [](double x, double y) {
    const int width = 1 + static_cast<int>(y) / 60;
    return static_cast<int>(x + y / 3) % (3 * width) < width ? 60.0 : 190.0;
  });
}
cv::Mat soft_edges() {
  cv::Mat picture(300, 400, CV_8UC4);
  for (int y = 0; y < 300; ++y) {
    for (int x = 0; x < 400; ++x) {
      const double r = std::hypot(x - 200, y - 150);
      picture.at<cv::Vec4b>(y, x) =
          cv::Vec4b(static_cast<std::uint8_t>(x * 255 / 400), 200, static_cast<std::uint8_t>(y * 255 / 300),
                    r < 100   ? 255
                    : r < 130 ? static_cast<std::uint8_t>(255 * (130 - r) / 30)
                              : 0);
    }
  }
  return picture;
}

cv::Mat covered(const cv::Mat& picture, cv::Size to, Kernel kernel = Kernel::kLanczos3) {
  const FakeJob job(kNothing);
  std::optional<Place> place;
  const Size whole{static_cast<std::uint32_t>(picture.cols), static_cast<std::uint32_t>(picture.rows)};
  const Size asked{static_cast<std::uint32_t>(to.width), static_cast<std::uint32_t>(to.height)};
  return to_rgb(resize({.picture = picture, .whole = whole, .decoded = picture.size()},
                       {.asked = asked, .kernel = kernel}, {}, place, job));
}

double psnr(const cv::Mat& a, const cv::Mat& b) {
  const FakeJob job(kNothing);
  return psnr_of(compare(a, b, job).mse).value_or(99);
}

TEST(Resample, IsThePlainLanczosOnCharts) {
  for (const cv::Size to :
       {cv::Size(200, 150), cv::Size(137, 101), cv::Size(64, 64), cv::Size(399, 299), cv::Size(800, 600)}) {
    EXPECT_GT(psnr(covered(zone_plate(), to), reference_cover(zone_plate(), to)), 45) << to;
    EXPECT_GT(psnr(covered(strokes(), to), reference_cover(strokes(), to)), 45) << to;
    EXPECT_GT(psnr(covered(gradient(400, 300), to), reference_cover(gradient(400, 300), to)), 50) << to;
    EXPECT_GT(psnr(covered(soft_edges(), to), reference_cover(soft_edges(), to)), 42) << to;
  }
}

// Fine rings are reduced to grey, not to coarse rings that were never there.
TEST(Resample, DoesNotAlias) {
  const cv::Mat small =
      covered(grey_chart({512, 512}, [](double x, double) { return static_cast<int>(x) % 2 * 255.0; }), {100, 100});
  const cv::Mat inside = small(cv::Rect(5, 5, 90, 90)).clone();
  EXPECT_LE(difference(inside, cv::Mat(90, 90, CV_8UC3, cv::Scalar::all(127.5))), 2);
}

TEST(Resample, OfOneColourIsThatColour) {
  for (const int level : {0, 1, 127, 254, 255}) {
    for (const Kernel kernel :
         {Kernel::kNearest, Kernel::kLinear, Kernel::kCubic, Kernel::kMitchell, Kernel::kLanczos2, Kernel::kLanczos3}) {
      for (const cv::Size from : {cv::Size(400, 300), cv::Size(16'000, 2), cv::Size(3, 5'000), cv::Size(1, 1)}) {
        for (const cv::Size to : {cv::Size(3, 3), cv::Size(97, 31), cv::Size(640, 480)}) {
          const cv::Mat out = covered(cv::Mat(from, CV_8UC3, cv::Scalar::all(level)), to, kernel);
          ASSERT_EQ(difference(out, cv::Mat(to, CV_8UC3, cv::Scalar::all(level))), 0) << level << from << to;
          const cv::Mat clear = covered(cv::Mat(from, CV_8UC4, cv::Scalar(level, 7, 200, 255)), to, kernel);
          ASSERT_EQ(difference(clear, cv::Mat(to, CV_8UC4, cv::Scalar(level, 7, 200, 255))), 0) << level << from << to;
        }
      }
    }
  }
}

cv::Point2d centroid(const cv::Mat& picture) {
  cv::Mat grey;
  cv::extractChannel(picture, grey, 1);
  const cv::Moments moments = cv::moments(grey);
  return {moments.m10 / moments.m00 + 0.5, moments.m01 / moments.m00 + 0.5};
}

cv::Mat spot(cv::Size size, cv::Point2d at) {
  return grey_chart(size, [&](double x, double y) {
    const double r2 = (x - at.x) * (x - at.x) + (y - at.y) * (y - at.y);
    return 255 * std::exp(-r2 / 200);
  });
}

// A spot's middle stays where it belongs: half a pixel off would show.
TEST(Resample, ShiftsNothing) {
  for (const cv::Size from : {cv::Size(300, 200), cv::Size(301, 201)}) {
    for (const cv::Size to : {cv::Size(150, 100), cv::Size(91, 67), cv::Size(600, 400), cv::Size(603, 401)}) {
      const cv::Point2d at(from.width * 0.4, from.height * 0.6);
      const cv::Mat out = covered(spot(from, at), to);
      const double factor =
          std::max(static_cast<double>(to.width) / from.width, static_cast<double>(to.height) / from.height);
      const cv::Point2d scaled(std::round(from.width * factor), std::round(from.height * factor));
      const cv::Point2d cut(std::floor((scaled.x - to.width + 1) / 2), std::floor((scaled.y - to.height + 1) / 2));
      const cv::Point2d expected(at.x * scaled.x / from.width - cut.x, at.y * scaled.y / from.height - cut.y);
      EXPECT_NEAR(centroid(out).x, expected.x, 0.03) << from << to;
      EXPECT_NEAR(centroid(out).y, expected.y, 0.03) << from << to;
    }
  }
}

// The same picture through luma and chroma: a JPEG's way, with its coding as the only difference.
TEST(Resample, PlanesAndPixelsAgree) {
  cv::Mat picture = gradient(403, 301);
  spot({403, 301}, {200, 100}).copyTo(picture(cv::Rect(0, 0, 403, 301)), spot({403, 301}, {200, 100}) > 128);
  const File file = file_of(picture, Format::kJpeg, 100);
  for (const char* params :
       {R"({"width":200,"format":"png"})", R"({"width":133,"height":97,"format":"png"})",
        R"({"width":50,"height":120,"position":"west","format":"png"})", R"({"width":800,"format":"png"})"}) {
    const auto made = [&](const File& input) {
      FakeJob job(sdk::find_kind("image.resize"), params);
      job.add_input(input).run();
      return picture_of(job.bytes());
    };
    EXPECT_GT(psnr(made(file), made(file_of(picture_of(file), Format::kPng))), 38) << params;
  }
}

// A cover that keeps little of a picture decodes only that, perhaps smaller; it is the picture that decoding everything
// gives.
TEST(Resample, ACutIsTheCutOfTheWhole) {
  const cv::Mat tall = gradient(400, 2000);
  const cv::Mat wide = gradient(2000, 400);
  for (const Format format : {Format::kJpeg, Format::kWebp}) {
    for (const cv::Mat& picture : {tall, wide}) {
      const File file = file_of(picture, format, 100);
      const File whole = file_of(picture_of(file), Format::kPng);
      for (const char* position : {"north", "centre", "southeast", "west"}) {
        for (const char* side : {"90", "390"}) {
          const std::string params = R"({"width":)" + std::string(side) + R"(,"height":)" + side + R"(,"position":")" +
                                     position + R"(","format":"png"})";
          const auto made = [&](const File& input) {
            FakeJob job(sdk::find_kind("image.resize"), params);
            job.add_input(input).run();
            return picture_of(job.bytes());
          };
          EXPECT_LE(difference(made(file), made(whole)), 6) << name_of(format) << params;
        }
      }
    }
  }
}

// Through every orientation, with sides that chroma's blocks do not fill.
TEST(Resample, EveryOrientationOfPlanesIsThatOfPixels) {
  for (const cv::Size size : {cv::Size(120, 80), cv::Size(121, 83)}) {
    const cv::Mat picture = gradient(size.width, size.height);
    for (int orientation = 1; orientation <= 8; ++orientation) {
      const File file = with_exif(file_of(stored_as(picture, orientation), Format::kJpeg, 100), Format::kJpeg,
                                  exif_block(orientation));
      for (const char* params : {R"({"width":60,"quality":100})", R"({"width":61,"quality":100})",
                                 R"({"width":30,"height":30,"position":"northwest","quality":100})"}) {
        FakeJob job(sdk::find_kind("image.resize"), params);
        job.add_input(file).run();
        FakeJob exact(sdk::find_kind("image.resize"), params);
        exact.add_input(file_of(picture, Format::kPng)).run();
        const cv::Mat expected = picture_of(exact.bytes());
        ASSERT_EQ(picture_of(job.bytes()).size(), expected.size()) << orientation << params;
        EXPECT_GT(psnr(picture_of(job.bytes()), expected), 33) << orientation << params << size;
      }
    }
  }
}

// A face, or what passes for one, on grey: each strategy finds it.
TEST(Position, LooksAtThePicture) {
  cv::Mat picture(100, 400, CV_8UC3, cv::Scalar::all(120));
  cv::Mat detail = picture(cv::Rect(300, 0, 100, 100));
  cv::randu(detail, cv::Scalar(120, 80, 60), cv::Scalar(240, 180, 150));
  const auto kept = [&](const char* position) {
    FakeJob job(sdk::find_kind("image.resize"),
                R"({"width":100,"height":100,"format":"png","position":")" + std::string(position) + "\"}");
    job.add_input(file_of(picture, Format::kPng)).run();
    return picture_of(job.bytes());
  };
  for (const char* position : {"entropy", "attention", "east"}) {
    cv::Mat grey;
    cv::inRange(kept(position), cv::Scalar::all(120), cv::Scalar::all(120), grey);
    EXPECT_LE(cv::countNonZero(grey), 400) << position;  // judged on a sketch: a column or four of the rest
  }
  EXPECT_EQ(difference(kept("west"), cv::Mat(100, 100, CV_8UC3, cv::Scalar::all(120))), 0);
}

// What it is cut from would be 200 x 1,000,000.
TEST(Position, OfACutFromWhatNoPictureCouldBe) {
  const cv::Mat picture = gradient(1, 5000);
  for (const char* position : {"entropy", "attention"}) {
    FakeJob job(sdk::find_kind("image.resize"),
                R"({"width":200,"height":200,"format":"png","position":")" + std::string(position) + "\"}");
    job.add_input(file_of(picture, Format::kPng)).run();
    EXPECT_EQ(picture_of(job.bytes()).size(), cv::Size(200, 200)) << position;
  }
}

// Whichever way it is stored: an odd pixel more is cut from the upright picture's beginning.
TEST(Position, IsThatOfTheUprightPicture) {
  for (int orientation = 1; orientation <= 8; ++orientation) {
    cv::Mat picture(8, 21, CV_8UC3, cv::Scalar::all(0));
    picture.col(7).setTo(cv::Scalar::all(255));  // the first of the 8 in the middle: 7 of 13 are cut before
    const File file =
        with_exif(file_of(stored_as(picture, orientation), Format::kJpeg, 100), Format::kJpeg, exif_block(orientation));
    FakeJob job(sdk::find_kind("image.resize"), R"({"width":8,"height":8,"format":"png"})");
    job.add_input(file).run();
    cv::Mat grey;
    cv::cvtColor(picture_of(job.bytes()), grey, cv::COLOR_RGB2GRAY);
    cv::Point brightest;
    cv::minMaxLoc(grey, nullptr, nullptr, nullptr, &brightest);
    EXPECT_EQ(brightest.x, 0) << orientation;
  }
}

TEST(Position, AttentionIsNotOnWhatIsWideAndFaint) {
  cv::Mat picture(100, 400, CV_8UC3, cv::Scalar::all(120));
  cv::Mat gravel = picture(cv::Rect(200, 0, 200, 100));
  cv::randu(gravel, cv::Scalar::all(100), cv::Scalar::all(140));
  const cv::Scalar face(199, 145, 112);
  cv::circle(picture, {90, 50}, 25, face, cv::FILLED);
  FakeJob job(sdk::find_kind("image.resize"), R"({"width":100,"height":100,"format":"png","position":"attention"})");
  job.add_input(file_of(picture, Format::kPng)).run();
  cv::Mat kept;
  cv::inRange(picture_of(job.bytes()), face, face, kept);
  const cv::Moments moments = cv::moments(kept, true);
  EXPECT_NEAR(moments.m10 / moments.m00, 50, 4) << "it lies in the middle";
}

}  // namespace
}  // namespace quern::image
