// greyscale, tint, modulate, gamma, negate, normalise, clahe, linear, recomb, threshold; and CIE Lab.
#include "tests/unit/jobs/operations.h"
#include "tests/unit/jobs/pictures.h"
#include "worker/jobs/image/lab.h"

namespace quern::image {
namespace {

using Rows = std::vector<std::vector<int>>;

cv::Vec3b color_of(std::string_view list, int r, int g, int b) {
  return rgb_at(applied(list, one_color(2, 2, cv::Scalar(r, g, b))), 1, 1);
}

double lightness(cv::Vec3b color) { return lab_of({color[0], color[1], color[2]}).l; }

TEST(ImageLab, HasTheColorsThatEveryTableHas) {
  struct Known {
    Rgb rgb;
    Lab lab;
  };
  for (const Known& known :
       {Known{{255, 255, 255}, {100, 0, 0}}, Known{{0, 0, 0}, {0, 0, 0}}, Known{{255, 0, 0}, {53.24F, 80.09F, 67.20F}},
        Known{{0, 255, 0}, {87.73F, -86.18F, 83.18F}}, Known{{0, 0, 255}, {32.30F, 79.19F, -107.86F}},
        Known{{128, 128, 128}, {53.59F, 0, 0}}, Known{{3, 3, 3}, {0.82F, 0, 0}}}) {
    const Lab lab = lab_of(known.rgb);
    EXPECT_NEAR(lab.l, known.lab.l, 0.02);
    EXPECT_NEAR(lab.a, known.lab.a, 0.05);
    EXPECT_NEAR(lab.b, known.lab.b, 0.05);
  }
}

TEST(ImageLab, ComesBackAsItWas) {
  for (int r = 0; r < 256; r += 3) {
    for (int g = 0; g < 256; g += 5) {
      for (int b = 0; b < 256; b += 5) {
        const Rgb rgb{static_cast<std::uint8_t>(r), static_cast<std::uint8_t>(g), static_cast<std::uint8_t>(b)};
        ASSERT_EQ(rgb_of(lab_of(rgb)), rgb) << r << " " << g << " " << b;
      }
    }
  }
}

TEST(ImageLab, WhatLiesOutsideOfSrgbIsCut) {
  EXPECT_EQ(rgb_of({.l = 200, .a = 0, .b = 0}), (Rgb{255, 255, 255}));
  EXPECT_EQ(rgb_of({.l = 170, .a = 20, .b = 40}), (Rgb{255, 255, 255})) << "above white its tint is cut, too";
  EXPECT_EQ(rgb_of({.l = 1e6F, .a = 1e5F, .b = -1e5F}), (Rgb{255, 255, 255}));
  EXPECT_EQ(rgb_of({.l = -50, .a = 0, .b = 0}), (Rgb{0, 0, 0}));
  EXPECT_EQ(rgb_of({.l = 50, .a = 1e6F, .b = 0})[0], 255);
}

TEST(ImageGreyscale, IsLuminance) {
  EXPECT_EQ(color_of(R"([{"op":"greyscale"}])", 255, 0, 0), cv::Vec3b::all(127));
  EXPECT_EQ(color_of(R"([{"op":"greyscale"}])", 0, 255, 0), cv::Vec3b::all(220));
  EXPECT_EQ(color_of(R"([{"op":"greyscale"}])", 0, 0, 255), cv::Vec3b::all(76));
  EXPECT_EQ(color_of(R"([{"op":"greyscale"}])", 77, 77, 77), cv::Vec3b::all(77));
}

TEST(ImageTint, KeepsBlackWhiteAndLightness) {
  EXPECT_EQ(color_of(R"([{"op":"tint","color":"red"}])", 0, 0, 0), cv::Vec3b(0, 0, 0));
  EXPECT_EQ(color_of(R"([{"op":"tint","color":"red"}])", 255, 255, 255), cv::Vec3b(255, 255, 255));
  EXPECT_EQ(color_of(R"([{"op":"tint","color":"grey"}])", 100, 100, 100), cv::Vec3b(100, 100, 100));
  const cv::Vec3b sepia = color_of(R"([{"op":"tint","color":"#705030"}])", 119, 119, 119);
  const Lab wanted = lab_of({0x70, 0x50, 0x30});
  const Lab got = lab_of({sepia[0], sepia[1], sepia[2]});
  EXPECT_NEAR(got.l, 50, 0.5) << "119 is the grey of L* 50, where the colour is whole";
  EXPECT_NEAR(got.a, wanted.a, 0.7);
  EXPECT_NEAR(got.b, wanted.b, 0.7);
}

TEST(ImageModulate, WithoutAWishChangesNothing) {
  EXPECT_EQ(color_of(R"([{"op":"modulate"}])", 12, 200, 99), cv::Vec3b(12, 200, 99));
  EXPECT_EQ(color_of(R"([{"op":"modulate","hue":360}])", 12, 200, 99), cv::Vec3b(12, 200, 99));
}

TEST(ImageModulate, MakesLightColorsWhite) {
  EXPECT_EQ(color_of(R"([{"op":"modulate","brightness":2}])", 250, 200, 150), cv::Vec3b(255, 255, 255));
  EXPECT_EQ(color_of(R"([{"op":"modulate","lightness":60}])", 250, 200, 150), cv::Vec3b(255, 255, 255));
}

TEST(ImageModulate, WorksOnLightnessChromaAndHue) {
  EXPECT_NEAR(lightness(color_of(R"([{"op":"modulate","brightness":0.5}])", 150, 120, 90)),
              lightness({150, 120, 90}) / 2, 0.4);
  EXPECT_NEAR(lightness(color_of(R"([{"op":"modulate","lightness":20}])", 100, 100, 100)),
              lightness({100, 100, 100}) + 20, 0.3);
  const cv::Vec3b grey = color_of(R"([{"op":"modulate","saturation":0}])", 150, 120, 90);
  EXPECT_EQ(grey[0], grey[1]);
  EXPECT_EQ(grey[1], grey[2]);
  const Lab before = lab_of({130, 120, 110});
  const cv::Vec3b turned = color_of(R"([{"op":"modulate","hue":90}])", 130, 120, 110);
  const Lab after = lab_of({turned[0], turned[1], turned[2]});
  EXPECT_NEAR(after.a, -before.b, 0.6);
  EXPECT_NEAR(after.b, before.a, 0.6);
  EXPECT_EQ(color_of(R"([{"op":"modulate","brightness":1000}])", 150, 150, 150), cv::Vec3b(255, 255, 255));
}

TEST(ImageGamma, IsAPowerOfEachChannel) {
  EXPECT_EQ(color_of(R"([{"op":"gamma"}])", 128, 0, 255), cv::Vec3b(186, 0, 255));  // 255 (128 / 255) ^ (1 / 2.2)
  EXPECT_EQ(color_of(R"([{"op":"gamma","gamma":0.5}])", 128, 51, 255), cv::Vec3b(64, 10, 255));
  EXPECT_EQ(rgba_at(applied(R"([{"op":"gamma"}])", one_color_alpha(1, 1, {128, 0, 0, 128})), 0, 0)[3], 128);
}

TEST(ImageNegate, InvertsAlphaOnlyIfAsked) {
  const cv::Mat picture = one_color_alpha(1, 1, {10, 20, 30, 40});
  EXPECT_EQ(rgba_at(applied(R"([{"op":"negate"}])", picture), 0, 0), cv::Vec4b(245, 235, 225, 215));
  EXPECT_EQ(rgba_at(applied(R"([{"op":"negate","alpha":false}])", picture), 0, 0), cv::Vec4b(245, 235, 225, 40));
}

TEST(ImageNormalise, StretchesLightnessToAllThereIs) {
  const cv::Mat picture = greys({{100, 119, 150}});
  const cv::Mat out = applied(R"([{"op":"normalise","lower":0,"upper":100}])", picture);
  EXPECT_EQ(reds(out)[0].front(), 0);
  EXPECT_EQ(reds(out)[0].back(), 255);
  const double from = lightness({100, 100, 100});
  const double to = lightness({150, 150, 150});
  EXPECT_NEAR(lightness(rgb_at(out, 1, 0)), (lightness({119, 119, 119}) - from) / (to - from) * 100, 0.5);
}

TEST(ImageNormalise, MakesWhatIsAboveTheRangeWhite) {
  cv::Mat picture = greys({{60, 60, 60, 60, 100, 100, 100, 100, 100, 100}});
  picture.at<cv::Vec3b>(0, 9) = {250, 200, 150};
  EXPECT_EQ(rgb_at(applied(R"([{"op":"normalise","upper":80}])", picture), 9, 0), cv::Vec3b(255, 255, 255));
}

TEST(ImageNormalise, LeavesOutliersOut) {
  cv::Mat picture = one_color(100, 2, {100, 100, 100});
  picture.colRange(50, 100).setTo(cv::Scalar::all(150));
  picture.at<cv::Vec3b>(0, 0) = {0, 0, 0};
  const cv::Mat out = applied(R"([{"op":"normalise"}])", picture);
  EXPECT_NEAR(rgb_at(out, 10, 0)[0], 0, 1);
  EXPECT_NEAR(rgb_at(out, 60, 0)[0], 255, 1);
  EXPECT_EQ(reds(applied(R"([{"op":"normalise"}])", greys({{90, 90}}))), (Rows{{90, 90}})) << "nothing to stretch";
}

TEST(ImageNormalise, KeepsToTheRangeOfTheFirstFrame) {
  Applied normalise(R"([{"op":"normalise","lower":0,"upper":100}])");
  (void)normalise.to(greys({{100, 150}}));
  EXPECT_EQ(reds(normalise.to(greys({{100, 100}}))), (Rows{{0, 0}}));
}

TEST(ImageClahe, BringsOutWhatIsFlat) {
  cv::Mat picture(64, 64, CV_8UC3);
  for (int x = 0; x < 64; ++x) picture.col(x).setTo(cv::Scalar::all(100 + (x >> 3)));  // 8 greys
  const auto contrast = [](const cv::Mat& out) {
    double low = 0;
    double high = 0;
    cv::minMaxLoc(out.reshape(1), &low, &high);
    return high - low;
  };
  const double mild = contrast(applied(R"([{"op":"clahe","width":64,"height":64,"max_slope":2}])", picture));
  const double strong = contrast(applied(R"([{"op":"clahe","width":64,"height":64,"max_slope":0}])", picture));
  EXPECT_EQ(contrast(picture), 7);
  EXPECT_GT(mild, 8);
  EXPECT_LT(mild, 22) << "no steeper than 2, a little more for what was cut";
  EXPECT_GT(strong, 200) << "equalised";
}

TEST(ImageLinear, ScalesAndShiftsChannels) {
  EXPECT_EQ(color_of(R"([{"op":"linear","a":[2],"b":[-10]}])", 10, 100, 200), cv::Vec3b(10, 190, 255));
  EXPECT_EQ(color_of(R"([{"op":"linear","a":[1,0.5,0],"b":[1,2,3]}])", 10, 100, 200), cv::Vec3b(11, 52, 3));
  EXPECT_EQ(color_of(R"([{"op":"linear","a":[-1000000],"b":[1000000]}])", 0, 1, 2), cv::Vec3b(255, 0, 0));
  EXPECT_EQ(rgba_at(applied(R"([{"op":"linear","a":[0]}])", one_color_alpha(1, 1, {1, 2, 3, 4})), 0, 0),
            cv::Vec4b(0, 0, 0, 4));
  EXPECT_EQ(rgba_at(applied(R"([{"op":"linear","a":[1,1,1,0.5]}])", one_color_alpha(1, 1, {1, 2, 3, 4})), 0, 0),
            cv::Vec4b(1, 2, 3, 2));
  EXPECT_EQ(refused_operations(R"([{"op":"linear","a":[1,2]}])").field(), "operations[0].a");
  EXPECT_EQ(refused_operations(R"([{"op":"linear","b":[1e300]}])").field(), "operations[0].b");
}

TEST(ImageRecomb, MixesChannelsByAMatrix) {
  const char* const sepia =
      R"([{"op":"recomb","matrix":[0.3588,0.7044,0.1368,0.2990,0.5870,0.1140,0.2392,0.4696,0.0912]}])";
  EXPECT_EQ(color_of(sepia, 100, 50, 200), cv::Vec3b(98, 82, 66));  // 98.46, 82.05, 65.64
  EXPECT_EQ(color_of(sepia, 255, 255, 255), cv::Vec3b(255, 255, 204));
  const cv::Mat swapped = applied(R"([{"op":"recomb","matrix":[0,0,0,1, 0,1,0,0, 0,0,1,0, 1,0,0,0]}])",
                                  one_color_alpha(1, 1, {1, 2, 3, 4}));
  EXPECT_EQ(rgba_at(swapped, 0, 0), cv::Vec4b(4, 2, 3, 1));
  EXPECT_EQ(refused_operations(R"([{"op":"recomb","matrix":[1,2,3,4,5,6,7,8,9,10]}])").field(), "operations[0].matrix");
}

TEST(ImageThreshold, IsBlackAndWhite) {
  EXPECT_EQ(reds(applied(R"([{"op":"threshold"}])", greys({{0, 127, 128, 255}}))), (Rows{{0, 0, 255, 255}}));
  EXPECT_EQ(color_of(R"([{"op":"threshold","value":100}])", 0, 255, 0), cv::Vec3b::all(255)) << "its luminance is 220";
  EXPECT_EQ(color_of(R"([{"op":"threshold","value":100,"greyscale":false}])", 0, 255, 100), cv::Vec3b(0, 255, 255));
}

}  // namespace
}  // namespace quern::image
