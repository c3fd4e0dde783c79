// composite: where the other picture lies, and how.
#include "tests/unit/jobs/operations.h"
#include "tests/unit/jobs/pictures.h"
#include "worker/jobs/image/operations/blend.h"

namespace quern::image {
namespace {

using Rows = std::vector<std::vector<int>>;

Rows composed(const std::string& options, const cv::Mat& picture, const cv::Mat& overlay) {
  return reds(applied(R"([{"op":"composite")" + options + "}]", picture, {overlay}));
}

TEST(ImageComposite, LiesWhereGravitySays) {
  const cv::Mat picture = one_color(4, 3, {0, 0, 0});
  const cv::Mat overlay = one_color(1, 1, {9, 9, 9});
  EXPECT_EQ(composed("", picture, overlay), (Rows{{0, 0, 0, 0}, {0, 0, 9, 0}, {0, 0, 0, 0}}))
      << "an odd pixel of room is left before it, as in sharp";
  EXPECT_EQ(composed(R"(,"gravity":"southeast")", picture, overlay), (Rows{{0, 0, 0, 0}, {0, 0, 0, 0}, {0, 0, 0, 9}}));
  EXPECT_EQ(composed(R"(,"gravity":"west")", picture, overlay), (Rows{{0, 0, 0, 0}, {9, 0, 0, 0}, {0, 0, 0, 0}}));
  EXPECT_EQ(composed(R"(,"gravity":"north")", picture, overlay), (Rows{{0, 0, 9, 0}, {0, 0, 0, 0}, {0, 0, 0, 0}}));
}

TEST(ImageComposite, TakesSharpsWordsForGravity) {
  const cv::Mat picture = one_color(4, 3, {0, 0, 0});
  const cv::Mat overlay = one_color(1, 1, {9, 9, 9});
  for (const auto& [sharps, ours] :
       {std::pair("top", "north"), std::pair("right top", "northeast"), std::pair("right", "east"),
        std::pair("right bottom", "southeast"), std::pair("bottom", "south"), std::pair("left bottom", "southwest"),
        std::pair("left", "west"), std::pair("left top", "northwest"), std::pair("center", "centre")}) {
    const auto at = [&](const char* word) {
      return composed(R"(,"gravity":")" + std::string(word) + "\"", picture, overlay);
    };
    EXPECT_EQ(at(sharps), at(ours)) << sharps;
    const auto position = [&](const char* word) {
      return reds(applied(R"([{"op":"resize","width":1,"height":1,"position":")" + std::string(word) + "\"}]",
                          greys({{1, 2}, {3, 4}})));
    };
    EXPECT_EQ(position(sharps), position(ours)) << sharps;
  }
  EXPECT_THAT(refused_operations(R"([{"op":"composite","gravity":"up"}])").what(),
              testing::EndsWith(
                  "one of centre, north, northeast, east, southeast, south, southwest, west, northwest (got \"up\")"));
}

TEST(ImageComposite, OrWhereItIsPutAndIsCutAtTheEdges) {
  const cv::Mat picture = one_color(3, 2, {0, 0, 0});
  const cv::Mat overlay = greys({{1, 2}, {3, 4}});
  EXPECT_EQ(composed(R"(,"left":1,"top":0)", picture, overlay), (Rows{{0, 1, 2}, {0, 3, 4}}));
  EXPECT_EQ(composed(R"(,"left":-1,"top":1)", picture, overlay), (Rows{{0, 0, 0}, {2, 0, 0}}));
  EXPECT_EQ(composed(R"(,"left":100,"top":-100)", picture, overlay), (Rows{{0, 0, 0}, {0, 0, 0}}));
  EXPECT_EQ(composed(R"(,"gravity":"northwest")", one_color(1, 1, {}), overlay), (Rows{{1}})) << "a larger one";
  EXPECT_EQ(refused_operations(R"([{"op":"composite","left":1}])").field(), "operations[0].top");
}

TEST(ImageComposite, IsRepeatedInStepWithItsPlace) {
  const cv::Mat overlay = greys({{1, 2}});
  EXPECT_EQ(composed(R"(,"tile":true,"left":1,"top":0)", one_color(5, 2, {}), overlay),
            (Rows{{2, 1, 2, 1, 2}, {2, 1, 2, 1, 2}}));
  const cv::Mat three = greys({{1, 2, 3}});
  EXPECT_EQ(composed(R"(,"tile":true,"left":1,"top":0)", one_color(5, 1, {}), three), (Rows{{3, 1, 2, 3, 1}}))
      << "from there in both directions";
  EXPECT_EQ(composed(R"(,"tile":true)", one_color(6, 1, {}), three), (Rows{{3, 1, 2, 3, 1, 2}}))
      << "of a tile in the middle an odd pixel of room is left behind it, as in sharp";
}

TEST(ImageComposite, TilesInAllDirectionsFromItsPlace) {
  const cv::Mat picture = one_color(7, 4, {0, 0, 0});
  const cv::Mat overlay = greys({{1, 2, 3}, {4, 5, 6}});
  EXPECT_EQ(composed(R"(,"tile":true,"left":1,"top":1)", picture, overlay),
            (Rows{{6, 4, 5, 6, 4, 5, 6}, {3, 1, 2, 3, 1, 2, 3}, {6, 4, 5, 6, 4, 5, 6}, {3, 1, 2, 3, 1, 2, 3}}));
  EXPECT_EQ(composed(R"(,"tile":true,"left":-2,"top":0)", picture, overlay)[0], (std::vector{3, 1, 2, 3, 1, 2, 3}));
  EXPECT_EQ(composed(R"(,"tile":true,"gravity":"northwest")", picture, overlay)[3], (std::vector{4, 5, 6, 4, 5, 6, 4}));
  EXPECT_EQ(composed(R"(,"tile":true,"gravity":"southeast")", picture, overlay)[0], (std::vector{3, 1, 2, 3, 1, 2, 3}));
  EXPECT_EQ(composed(R"(,"tile":true,"left":0,"top":0,"opacity":0.5)", picture, greys({{100}}))[2],
            (std::vector{50, 50, 50, 50, 50, 50, 50}));
}

TEST(ImageComposite, IsAsOpaqueAsItsAlphaAndTheOptionSay) {
  const cv::Mat picture = one_color(1, 1, {100, 100, 100});
  EXPECT_EQ(composed(R"(,"opacity":0.5)", picture, one_color(1, 1, {200, 200, 200})), (Rows{{150}}));
  EXPECT_EQ(composed("", picture, one_color_alpha(1, 1, {200, 200, 200, 51})), (Rows{{120}}));
  EXPECT_EQ(composed(R"(,"opacity":0)", picture, one_color(1, 1, {200, 200, 200})), (Rows{{100}}));
}

TEST(ImageComposite, KeepsAPictureOpaqueUnlessItMakesHoles) {
  const cv::Mat picture = one_color(3, 1, {100, 100, 100});
  const cv::Mat overlay = one_color(1, 1, {200, 200, 200});
  EXPECT_EQ(applied(R"([{"op":"composite","blend":"multiply"}])", picture, {overlay}).type(), CV_8UC3);
  const cv::Mat kept = applied(R"([{"op":"composite","blend":"dest-in"}])", picture, {overlay});
  EXPECT_EQ(rgba_at(kept, 0, 0)[3], 0) << "where the overlay is not, it is transparent";
  EXPECT_EQ(rgba_at(kept, 1, 0), cv::Vec4b(100, 100, 100, 255));
  const cv::Mat cut = applied(R"([{"op":"composite","blend":"dest-out"}])", picture, {overlay});
  EXPECT_EQ(rgba_at(cut, 0, 0), cv::Vec4b(100, 100, 100, 255));
  EXPECT_EQ(rgba_at(cut, 1, 0)[3], 0);
}

TEST(ImageComposite, OnATransparentPicture) {
  const cv::Mat out = applied(R"([{"op":"composite"}])", one_color_alpha(1, 1, {0, 255, 0, 0}),
                              {one_color_alpha(1, 1, {255, 0, 0, 128})});
  EXPECT_EQ(rgba_at(out, 0, 0), cv::Vec4b(255, 0, 0, 128));
}

struct KnownAlpha {
  const char* blend;
  float alpha;
  float grey;  // of a white source on black: the source's share
};

// Source alpha 1/2 and white, backdrop alpha 1/4 and black.
TEST(ImageBlend, PorterAndDuffsOperators) {
  for (const KnownAlpha& known :
       {KnownAlpha{"clear", 0, 0}, KnownAlpha{"source", 0.5F, 1}, KnownAlpha{"over", 0.625F, 0.8F},
        KnownAlpha{"in", 0.125F, 1}, KnownAlpha{"out", 0.375F, 1}, KnownAlpha{"atop", 0.25F, 0.5F},
        KnownAlpha{"dest", 0.25F, 0}, KnownAlpha{"dest-over", 0.625F, 0.6F}, KnownAlpha{"dest-in", 0.125F, 0},
        KnownAlpha{"dest-out", 0.125F, 0}, KnownAlpha{"dest-atop", 0.5F, 0.75F}, KnownAlpha{"xor", 0.5F, 0.75F},
        KnownAlpha{"add", 0.75F, 2.0F / 3}, KnownAlpha{"saturate", 0.75F, 2.0F / 3}}) {
    const Pixel out =
        blended({.r = 1, .g = 1, .b = 1, .a = 0.5F}, {.r = 0, .g = 0, .b = 0, .a = 0.25F}, blend_of(known.blend));
    EXPECT_NEAR(out.a, known.alpha, 1e-5) << known.blend;
    EXPECT_NEAR(out.r, known.grey, 1e-5) << known.blend;
  }
}

struct KnownColor {
  const char* blend;
  float source;
  float backdrop;
  float result;
};

// Both opaque; by hand from the formulas of W3C's Compositing and Blending Level 1.
TEST(ImageBlend, ModesOfW3c) {
  for (const KnownColor& known : {KnownColor{"multiply", 0.6F, 0.3F, 0.18F},
                                  KnownColor{"screen", 0.6F, 0.3F, 0.72F},
                                  KnownColor{"overlay", 0.6F, 0.3F, 0.36F},
                                  KnownColor{"overlay", 0.6F, 0.8F, 0.84F},
                                  KnownColor{"darken", 0.6F, 0.3F, 0.3F},
                                  KnownColor{"lighten", 0.6F, 0.3F, 0.6F},
                                  KnownColor{"colour-dodge", 0.6F, 0.3F, 0.75F},
                                  KnownColor{"color-dodge", 1, 0.3F, 1},
                                  KnownColor{"colour-dodge", 1, 0, 0},
                                  KnownColor{"colour-burn", 0.8F, 0.6F, 0.5F},
                                  KnownColor{"color-burn", 0, 0.6F, 0},
                                  KnownColor{"colour-burn", 0, 1, 1},
                                  KnownColor{"hard-light", 0.6F, 0.3F, 0.44F},
                                  KnownColor{"hard-light", 0.25F, 0.4F, 0.2F},
                                  KnownColor{"soft-light", 0.6F, 0.3F, 0.349545F},
                                  KnownColor{"soft-light", 0.25F, 0.4F, 0.28F},
                                  KnownColor{"soft-light", 0.75F, 0.2F, 0.324F},
                                  KnownColor{"difference", 0.6F, 0.9F, 0.3F},
                                  KnownColor{"exclusion", 0.6F, 0.3F, 0.54F},
                                  KnownColor{"add", 0.6F, 0.9F, 1},
                                  KnownColor{"saturate", 0.6F, 0.9F, 0.9F}}) {
    const float s = known.source;
    const float d = known.backdrop;
    const Pixel out =
        blended({.r = s, .g = s, .b = s, .a = 1}, {.r = d, .g = d, .b = d, .a = 1}, blend_of(known.blend));
    EXPECT_NEAR(out.r, known.result, 1e-5) << known.blend << " of " << s << " on " << d;
    EXPECT_FLOAT_EQ(out.a, 1) << known.blend;
  }
}

TEST(ImageBlend, ModesMixOnlyWhereBothAre) {
  const Pixel source{.r = 0.5F, .g = 0.5F, .b = 0.5F, .a = 1};
  EXPECT_NEAR(blended(source, {.r = 0.2F, .g = 0, .b = 0, .a = 0}, Blend::kMultiply).r, 0.5F, 1e-6);
  // half of it on nothing (0.5), half multiplied with 0.2 (0.1)
  EXPECT_NEAR(blended(source, {.r = 0.2F, .g = 0, .b = 0, .a = 0.5F}, Blend::kMultiply).r, 0.3F, 1e-6);
}

TEST(ImageBlend, EveryModeLeavesUncoveredAndOpaqueAsItSays) {
  for (const std::string& word : blend_words()) {
    const Blend blend = blend_of(word);
    const Pixel backdrop{.r = 0.2F, .g = 0.4F, .b = 0.6F, .a = 0.5F};
    const Pixel uncovered = blended({}, backdrop, blend);
    EXPECT_EQ(keeps_uncovered(blend), std::abs(uncovered.a - 0.5F) < 1e-6F && std::abs(uncovered.g - 0.4F) < 1e-6F)
        << word;
    bool opaque = true;
    for (const float alpha : {0.0F, 0.5F, 1.0F}) {
      opaque =
          opaque && blended({.r = 1, .g = 1, .b = 1, .a = alpha}, {.r = 0, .g = 0, .b = 0, .a = 1}, blend).a > 0.999F;
    }
    EXPECT_EQ(keeps_opaque(blend), opaque) << word;
  }
}

}  // namespace
}  // namespace quern::image
