// blur, sharpen, median, convolve, dilate, erode.
#include <cmath>
#include <numeric>

#include "tests/unit/jobs/operations.h"
#include "tests/unit/jobs/pictures.h"
#include "worker/jobs/image/lab.h"

namespace quern::image {
namespace {

using Rows = std::vector<std::vector<int>>;

// Black, and white from the middle on.
cv::Mat step(int width, int height = 5) {
  cv::Mat out = one_color(width, height, {0, 0, 0});
  out.colRange(width / 2, width).setTo(cv::Scalar::all(255));
  return out;
}

TEST(ImageBlur, WithoutSigmaIsTheMeanOfNine) {
  const cv::Mat out = applied(R"([{"op":"blur"}])", greys({{9, 9, 9}, {9, 90, 9}, {9, 9, 9}}));
  EXPECT_EQ(reds(out), (Rows{{18, 18, 18}, {18, 18, 18}, {18, 18, 18}}));
}

TEST(ImageBlur, OfAnEdgeIsTheErrorFunction) {
  for (const double sigma : {1.0, 3.0, 10.0, 11.0, 25.0, 60.0}) {
    const cv::Mat out =
        applied(R"([{"op":"blur","sigma":)" + std::to_string(sigma) + "}]", step(601));  // from x = 300 on
    for (int x = 300 - static_cast<int>(2 * sigma); x <= 300 + static_cast<int>(2 * sigma); ++x) {
      const double exact = 255 * 0.5 * (1 + std::erf((x - 299.5) / (sigma * std::sqrt(2.0))));
      ASSERT_NEAR(rgb_at(out, x, 2)[0], exact, 2.5) << "sigma " << sigma << " at " << x;
    }
  }
}

// Weights of a row's pixels for pixel x, the outermost ones gone on for ever.
std::vector<double> gaussian_weights(int length, int x, double sigma) {
  std::vector<double> weights(static_cast<std::size_t>(length));
  const int reach = static_cast<int>(5 * sigma);
  double sum = 0;
  for (int i = -reach; i <= reach; ++i) sum += std::exp(-i * i / (2 * sigma * sigma));
  for (int i = -reach; i <= reach; ++i) {
    weights[static_cast<std::size_t>(std::clamp(x + i, 0, length - 1))] += std::exp(-i * i / (2 * sigma * sigma)) / sum;
  }
  return weights;
}

cv::Mat exactly_blurred(const cv::Mat& picture, double sigma) {
  const auto matrix = [sigma](int length) {
    cv::Mat out(length, length, CV_64F);
    for (int x = 0; x < length; ++x) cv::Mat(gaussian_weights(length, x, sigma), true).reshape(1, 1).copyTo(out.row(x));
    return out;
  };
  cv::Mat red;
  cv::extractChannel(picture, red, 0);
  red.convertTo(red, CV_64F);
  return matrix(picture.rows) * red * matrix(picture.cols).t();
}

TEST(ImageBlur, SeesTheOutermostPixelsGoOnHoweverWide) {
  cv::Mat framed = one_color(160, 120, {255, 255, 255});
  framed(cv::Rect(1, 1, 158, 118)).setTo(cv::Scalar::all(20));
  cv::Mat noise(23, 9, CV_8UC1);
  cv::randu(noise, 0, 256);
  cv::merge(std::vector{noise, noise, noise}, noise);
  for (const cv::Mat& picture : {framed, noise, greys({{0, 255}}), greys({{7}})}) {
    for (const double sigma : {9.9, 10.1, 17.0, 30.0, 100.0, 1000.0}) {
      const cv::Mat out = applied(R"([{"op":"blur","sigma":)" + std::to_string(sigma) + "}]", picture);
      const cv::Mat exact = exactly_blurred(picture, sigma);
      double most = 0;
      for (int y = 0; y < out.rows; ++y) {
        for (int x = 0; x < out.cols; ++x)
          most = std::max(most, std::abs(rgb_at(out, x, y)[0] - exact.at<double>(y, x)));
      }
      EXPECT_LE(most, 2.55) << "sigma " << sigma << " of " << picture.size();
    }
  }
}

TEST(ImageBlur, OfOneColorIsThatColorHoweverWide) {
  for (const char* sigma : {"0.3", "9.99", "10.5", "1000"}) {
    const cv::Mat out =
        applied(R"([{"op":"blur","sigma":)" + std::string(sigma) + "}]", one_color(31, 17, {40, 80, 120}));
    EXPECT_LE(difference(out, one_color(31, 17, {40, 80, 120})), 1) << sigma;
  }
}

TEST(ImageBlur, DoesNotShowTheColorOfInvisiblePixels) {
  for (const char* sigma : {"", R"(,"sigma":2)", R"(,"sigma":30)"}) {
    const cv::Mat out = applied(R"([{"op":"blur")" + std::string(sigma) + "}]", red_beside_invisible_green(40, 40));
    EXPECT_TRUE(shows_no_green(out)) << sigma;
    EXPECT_GT(rgba_at(out, 20, 20)[3], 20) << "what is visible spreads";
    EXPECT_LT(rgba_at(out, 19, 20)[3], 255);
  }
}

TEST(ImageMedian, TakesTheMiddle) {
  EXPECT_EQ(reds(applied(R"([{"op":"median"}])", greys({{1, 2, 3}, {200, 5, 6}, {7, 8, 9}})))[1][1], 6);
  cv::Mat noisy = one_color(30, 30, {80, 90, 100});
  for (int i = 2; i < 28; i += 4) noisy.at<cv::Vec3b>(i, (i * 7) % 28) = {255, 0, 255};
  EXPECT_EQ(difference(applied(R"([{"op":"median"}])", noisy), one_color(30, 30, {80, 90, 100})), 0);
  EXPECT_EQ(refused_operations(R"([{"op":"median","size":4}])").field(), "operations[0].size");
  for (const char* size : {"5", "9"}) {
    EXPECT_TRUE(shows_no_green(
        applied(R"([{"op":"median","size":)" + std::string(size) + "}]", red_beside_invisible_green(40, 40))));
  }
}

TEST(ImageSharpen, WithoutSigmaAddsWhatAMeanTakesAway) {
  // (32 * 90 - 8 * 60) / 24
  EXPECT_EQ(reds(applied(R"([{"op":"sharpen"}])", greys({{60, 60, 60}, {60, 90, 60}, {60, 60, 60}})))[1][1], 100);
}

TEST(ImageSharpen, LeavesFlatPartsAlone) {
  const cv::Mat picture = one_color(20, 20, {90, 140, 30});
  EXPECT_EQ(difference(applied(R"([{"op":"sharpen","sigma":2,"m1":100,"m2":100}])", picture), picture), 0);
}

TEST(ImageSharpen, AddsToLightnessWhatAGaussianTakesAway) {
  cv::Mat picture = one_color(21, 9, {100, 100, 100});
  picture.colRange(10, 21).setTo(cv::Scalar::all(110));
  const double dark = lab_of({100, 100, 100}).l;
  const double light = lab_of({110, 110, 110}).l;
  // how much of a Gaussian of sigma 1 lies beyond the edge, seen from the pixel before it
  double whole = 1;
  double beyond = 0;
  for (int i = 1; i <= 4; ++i) {
    whole += 2 * std::exp(-i * i / 2.0);
    beyond += std::exp(-i * i / 2.0);
  }
  const double lost = (light - dark) * beyond / whole;  // 1.2
  const auto sharpened = [&](const char* more) {
    return applied(R"([{"op":"sharpen","sigma":1)" + std::string(more) + "}]", picture);
  };
  const auto lightness = [](const cv::Mat& out, int x) {
    return static_cast<double>(lab_of({rgb_at(out, x, 4)[0], rgb_at(out, x, 4)[1], rgb_at(out, x, 4)[2]}).l);
  };
  const double step = 0.25;  // half a grey, in L*
  EXPECT_NEAR(lightness(sharpened(R"(,"m1":3)"), 9), dark - 3 * lost, step) << "flat";
  EXPECT_NEAR(lightness(sharpened(R"(,"m1":3)"), 10), light + 3 * lost, step);
  EXPECT_NEAR(lightness(sharpened(R"(,"m1":0,"m2":10,"x1":0.5)"), 9), dark - 10 * (lost - 0.5), step) << "an edge";
  EXPECT_NEAR(lightness(sharpened(R"(,"m1":50,"y3":4)"), 9), dark - 4, step) << "no darker than y3 allows";
  EXPECT_NEAR(lightness(sharpened(R"(,"m1":50,"y2":6)"), 10), light + 6, step) << "no lighter than y2 allows";
  EXPECT_NEAR(lightness(sharpened(R"(,"m1":1000000)"), 2), dark, step) << "far away nothing happens";
}

TEST(ImageSharpen, DoesNotSeeTheColorOfInvisiblePixels) {
  cv::Mat picture(20, 20, CV_8UC4, cv::Scalar(255, 255, 255, 0));
  picture.colRange(0, 10).setTo(cv::Scalar(90, 90, 90, 255));
  const cv::Mat out = applied(R"([{"op":"sharpen","sigma":2,"m1":5,"m2":5}])", picture);
  EXPECT_EQ(rgba_at(out, 9, 10), cv::Vec4b(90, 90, 90, 255)) << "its only visible neighbours are like it";
}

TEST(ImageConvolve, WeighsNeighbours) {
  const cv::Mat picture = greys({{10, 20, 30}});
  const auto convolved = [&](const char* rest) {
    return reds(applied(R"([{"op":"convolve",)" + std::string(rest) + "}]", picture));
  };
  EXPECT_EQ(convolved(R"("width":3,"height":1,"kernel":[0,0,1])"), (Rows{{20, 30, 30}}))
      << "the kernel is not mirrored";
  EXPECT_EQ(convolved(R"("width":3,"height":1,"kernel":[1,3,1])"), (Rows{{12, 20, 28}}))
      << "divided by the sum; edges go on";
  EXPECT_EQ(convolved(R"("width":3,"height":1,"kernel":[1,2,1],"scale":1)"), (Rows{{50, 80, 110}}));
  EXPECT_EQ(convolved(R"("width":3,"height":1,"kernel":[-1,0,1],"offset":100)"), (Rows{{110, 120, 110}}))
      << "a sum of 0 divides nothing";
  EXPECT_EQ(convolved(R"("width":1,"height":1,"kernel":[1000],"scale":1,"offset":-9999)"), (Rows{{1, 255, 255}}));
}

TEST(ImageConvolve, DividesByTheSumOrAtLeastByOne) {
  const auto convolved = [&](const char* rest) {
    return reds(applied(R"([{"op":"convolve","width":1,"height":1,)" + std::string(rest) + "}]", greys({{10, 20}})));
  };
  EXPECT_EQ(convolved(R"("kernel":[4])"), (Rows{{10, 20}}));
  EXPECT_EQ(convolved(R"("kernel":[0.5])"), (Rows{{5, 10}}));
  EXPECT_EQ(convolved(R"("kernel":[-2])"), (Rows{{0, 0}}));
  EXPECT_EQ(convolved(R"("kernel":[-2],"scale":-4)"), (Rows{{5, 10}})) << "as asked";
  EXPECT_EQ(convolved(R"("kernel":[0.5],"scale":0.25)"), (Rows{{20, 40}}));
}

TEST(ImageConvolve, KeepsColorsWhereAlphaEnds) {
  const cv::Scalar color(100, 150, 200);
  for (const char* op :
       {R"("op":"sharpen")", R"("op":"convolve","width":3,"height":3,"kernel":[0,-1,0,-1,5,-1,0,-1,0])",
        R"("op":"convolve","width":3,"height":1,"kernel":[-3,11,-3])"}) {
    const cv::Mat out = applied("[{" + std::string(op) + "}]", one_color_of_every_alpha(color));
    EXPECT_LE(farthest_from(color, out), 1) << op;
  }
}

TEST(ImageConvolve, OfTransparentPictures) {
  EXPECT_TRUE(shows_no_green(applied(R"([{"op":"convolve","width":3,"height":3,"kernel":[1,1,1,1,1,1,1,1,1]}])",
                                     red_beside_invisible_green(20, 20))));
  cv::Mat picture(3, 3, CV_8UC4, cv::Scalar(10, 20, 30, 255));
  const cv::Mat edges = applied(R"([{"op":"convolve","width":3,"height":1,"kernel":[-1,0,1],"offset":50}])", picture);
  EXPECT_EQ(rgba_at(edges, 1, 1), cv::Vec4b(50, 50, 50, 255)) << "a kernel without a sum keeps alpha";
  const cv::Mat half = applied(R"([{"op":"convolve","width":1,"height":1,"kernel":[1],"scale":2}])", picture);
  EXPECT_EQ(rgba_at(half, 1, 1), cv::Vec4b(10, 20, 30, 128));
}

TEST(ImageConvolve, RefusesKernelsThatMakeNoSense) {
  EXPECT_EQ(refused_operations(R"([{"op":"convolve","width":3,"height":3,"kernel":[1,2]}])").field(),
            "operations[0].kernel");
  EXPECT_EQ(refused_operations(R"([{"op":"convolve","width":1,"height":1,"kernel":[1],"scale":0}])").field(),
            "operations[0].scale");
  EXPECT_EQ(refused_operations(R"([{"op":"convolve","width":1,"height":1,"kernel":[1e300],"scale":1}])").field(),
            "operations[0].kernel");
}

TEST(ImageMorphology, GrowsWhatIsLightOrDark) {
  const cv::Mat dot = greys({{0, 0, 0, 0, 0}, {0, 0, 9, 0, 0}, {0, 0, 0, 0, 0}});
  EXPECT_EQ(reds(applied(R"([{"op":"dilate"}])", dot)), (Rows{{0, 9, 9, 9, 0}, {0, 9, 9, 9, 0}, {0, 9, 9, 9, 0}}));
  EXPECT_EQ(reds(applied(R"([{"op":"dilate","width":2}])", dot)),
            (Rows{{9, 9, 9, 9, 9}, {9, 9, 9, 9, 9}, {9, 9, 9, 9, 9}}));
  EXPECT_EQ(reds(applied(R"([{"op":"erode"}])", dot)), (Rows{{0, 0, 0, 0, 0}, {0, 0, 0, 0, 0}, {0, 0, 0, 0, 0}}));
  cv::Mat square = one_color(9, 9, {0, 0, 0});
  square(cv::Rect(3, 3, 3, 3)).setTo(cv::Scalar(50, 60, 70));
  EXPECT_EQ(difference(applied(R"([{"op":"dilate"},{"op":"erode"}])", square), square), 0);
  EXPECT_EQ(rgb_at(applied(R"([{"op":"erode"}])", square), 4, 4), cv::Vec3b(50, 60, 70));
  EXPECT_EQ(rgb_at(applied(R"([{"op":"erode"}])", square), 3, 4), cv::Vec3b(0, 0, 0));
}

}  // namespace
}  // namespace quern::image
