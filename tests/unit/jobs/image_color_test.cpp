// Profiles: results are sRGB, unless they keep their profile.
#include <gmock/gmock.h>
#include <lcms2.h>

#include <boost/json/parse.hpp>

#include "tests/unit/jobs/profiles.h"
#include "worker/jobs/image/color.h"

namespace quern::image {
namespace {

using sdk::FakeJob;

const sdk::Kind kNothing{};

cv::Mat processed(const File& file, std::string_view params) {
  FakeJob job(sdk::find_kind("image.process"), params);
  job.add_input(file).run();
  return picture_of(job.bytes());
}

TEST(Colour, AWideProfileBecomesSrgb) {
  // P3's red lies outside of sRGB; a soft red of P3 is a stronger one in sRGB; grey stays grey
  const cv::Mat red(8, 8, CV_8UC3, cv::Scalar(200, 100, 100));
  for (const Format format : {Format::kPng, Format::kJpeg, Format::kWebp, Format::kTiff, Format::kAvif}) {
    for (const char* params : {R"({"format":"png"})", R"({"format":"png","operations":[{"op":"resize","width":4}]})"}) {
      const cv::Vec3b pixel = processed(with_profile(red, display_p3(), format), params).at<cv::Vec3b>(2, 2);
      EXPECT_NEAR(pixel[0], 215, 7) << name_of(format);
      EXPECT_NEAR(pixel[1], 93, 7) << name_of(format);
    }
  }
  const cv::Mat grey(8, 8, CV_8UC3, cv::Scalar::all(128));
  EXPECT_NEAR(processed(with_profile(grey, display_p3()), R"({"format":"png"})").at<cv::Vec3b>(2, 2)[0], 128, 4);
}

TEST(Colour, ItsProfileStaysWhenAsked) {
  const cv::Mat red(8, 8, CV_8UC3, cv::Scalar(200, 100, 100));
  FakeJob job(sdk::find_kind("image.process"), R"({"format":"png","keep_icc":true})");
  job.add_input(with_profile(red, display_p3())).run();
  const File made(job.bytes().begin(), job.bytes().end());
  EXPECT_EQ(picture_of(made).at<cv::Vec3b>(0, 0), cv::Vec3b(200, 100, 100));
  const FakeJob reader(kNothing);
  EXPECT_EQ(open_decoder(made, FailOn::kWarning, reader)->metadata().icc, display_p3());
}

Metadata metadata_of(std::span<const std::byte> file) {
  const FakeJob reader(kNothing);
  return open_decoder(file, FailOn::kWarning, reader)->metadata();
}

// Its colours need no change, so nothing that comes in can be wrong beside it.
TEST(Colour, AProfileOfSrgbStaysToo) {
  const File srgb = profile_bytes(cmsCreate_sRGBProfile());
  const cv::Mat red(8, 8, CV_8UC3, cv::Scalar(200, 100, 100));
  for (const Format from : {Format::kJpeg, Format::kPng}) {
    const File file = with_profile(red, srgb, from);
    for (const std::string to : {"jpeg", "png", "webp", "avif", "tiff"}) {
      for (const char* option : {"keep_icc", "keep_metadata"}) {
        FakeJob job(sdk::find_kind("image.process"), R"({"format":")" + to + R"(",")" + option + R"(":true})");
        job.add_input(file).run();
        EXPECT_EQ(metadata_of(job.bytes()).icc, srgb) << to << option;
      }
      FakeJob without(sdk::find_kind("image.process"), R"({"format":")" + to + R"("})");
      without.add_input(file).run();
      EXPECT_TRUE(metadata_of(without.bytes()).icc.empty()) << to;
    }
  }
  FakeJob job(sdk::find_kind("image.process"),
              R"({"operations":[{"op":"tint","color":"red"}],"outputs":[{"name":"a","format":"png","keep_icc":true},
                                                                        {"name":"b","format":"gif"}]})");
  job.add_input(with_profile(red, srgb)).run();
  EXPECT_EQ(metadata_of(job.outputs[0].bytes()).icc, srgb);
  File broken = srgb;
  broken.resize(200);  // its header alone is whole
  FakeJob none(sdk::find_kind("image.process"), R"({"format":"png","keep_icc":true})");
  none.add_input(with_profile(red, broken)).run();
  EXPECT_TRUE(metadata_of(none.bytes()).icc.empty()) << "a broken profile counts as none";
}

// "RGB color space not permitted on grayscale PNG", says libpng, and leaves the profile out.
TEST(Colour, AProfileOfThreeChannelsStandsBesideThree) {
  const cv::Mat grey(8, 8, CV_8UC3, cv::Scalar::all(128));
  for (const std::string to : {"jpeg", "png", "webp", "avif", "tiff"}) {
    for (const char* more : {"", R"(,"operations":[{"op":"resize","width":4}])"}) {
      FakeJob job(sdk::find_kind("image.process"), R"({"format":")" + to + R"(","keep_icc":true)" + more + "}");
      job.add_input(with_profile(grey, display_p3())).run();
      EXPECT_EQ(read_header(job.bytes()).space, ColorSpace::kRgb) << to;
      EXPECT_EQ(metadata_of(job.bytes()).icc, display_p3()) << to;
    }
  }
  FakeJob job(sdk::find_kind("image.process"), R"({"format":"png"})");
  job.add_input(with_profile(grey, display_p3())).run();
  EXPECT_EQ(read_header(job.bytes()).space, ColorSpace::kGrey);
}

TEST(Colour, ItsProfileGoesWhenOtherColoursCome) {
  const File wide = with_profile(cv::Mat(8, 8, CV_8UC3, cv::Scalar(200, 100, 100)), display_p3());
  const auto keeps = [&](const std::string& operations) {
    FakeJob job(sdk::find_kind("image.process"),
                R"({"format":"png","keep_icc":true,"operations":[)" + operations + "]}");
    job.add_input(wide).add_input(file_of(cv::Mat(8, 8, CV_8UC3, cv::Scalar(1, 2, 3)), Format::kPng)).run();
    const FakeJob reader(kNothing);
    const bool kept = !open_decoder(job.bytes(), FailOn::kWarning, reader)->metadata().icc.empty();
    EXPECT_NEAR(picture_of(job.bytes()).ptr(0)[0], kept ? 200 : 215, 7) << operations;
    return kept;
  };
  EXPECT_TRUE(keeps(R"({"op":"resize","width":20},{"op":"modulate"},{"op":"flatten"})"));
  EXPECT_TRUE(keeps(R"({"op":"resize","width":9,"fit":"contain","background":"white"})"))
      << "white is white everywhere";
  EXPECT_TRUE(keeps(R"({"op":"extend","right":4,"background":"transparent"})"));
  EXPECT_FALSE(keeps(R"({"op":"extend","right":4,"background":"red"})"));
  EXPECT_FALSE(keeps(R"({"op":"composite","gravity":"southeast","opacity":0})"));
  EXPECT_FALSE(keeps(R"({"op":"rotate","angle":90,"background":"#808080"})")) << "grey has a curve";
  EXPECT_FALSE(keeps(R"({"op":"resize","width":16,"background":"blue"})"));
}

TEST(Colour, AProfileThatAResultCannotHoldIsAppliedInstead) {
  // linear 0.502 is 0.738 in sRGB
  const File grey = with_profile(cv::Mat(8, 8, CV_8UC3, cv::Scalar::all(128)), grey_of_gamma(1.0));
  FakeJob job(sdk::find_kind("image.process"), R"({"format":"png","keep_icc":true})");
  job.add_input(grey).run();
  const FakeJob reader(kNothing);
  EXPECT_TRUE(open_decoder(job.bytes(), FailOn::kWarning, reader)->metadata().icc.empty()) << "not beside RGB";
  EXPECT_NEAR(picture_of(job.bytes()).at<cv::Vec3b>(0, 0)[1], 188, 2);

  const File red = with_profile(cv::Mat(8, 8, CV_8UC3, cv::Scalar(200, 100, 100)), display_p3());
  FakeJob both(sdk::find_kind("image.process"), R"({"outputs":[{"name":"png","format":"png","keep_icc":true},
                                                              {"name":"gif","format":"gif","keep_icc":true}]})");
  both.add_input(red).run();
  for (const auto& output : both.outputs) {
    EXPECT_NEAR(picture_of(output.bytes()).at<cv::Vec3b>(0, 0)[0], 215, 7) << output.name();
    EXPECT_TRUE(open_decoder(output.bytes(), FailOn::kWarning, reader)->metadata().icc.empty());
  }
}

TEST(Colour, SrgbAndWhatIsNoProfileChangeNothing) {
  const cv::Mat red(8, 8, CV_8UC3, cv::Scalar(200, 100, 100));
  const File srgb = profile_bytes(cmsCreate_sRGBProfile());
  EXPECT_TRUE(is_srgb(srgb));
  EXPECT_FALSE(is_srgb(display_p3()));
  EXPECT_TRUE(is_srgb(File(500)));
  for (const File& icc : {srgb, File(500)}) {
    EXPECT_EQ(difference(to_srgb(red, icc), red), 0);
  }
  EXPECT_EQ(difference(to_srgb(with_alpha_of(red, 9), display_p3()), with_alpha_of(to_srgb(red, display_p3()), 9)), 0);
}

TEST(Colour, AGreyProfilesCurveIsApplied) {
  const cv::Mat grey(4, 4, CV_8UC3, cv::Scalar::all(128));
  // linear 0.502 is 0.738 in sRGB
  EXPECT_NEAR(to_srgb(grey, grey_of_gamma(1.0)).at<cv::Vec3b>(0, 0)[1], 188, 2);
  EXPECT_NEAR(to_srgb(grey, grey_of_gamma(2.2)).at<cv::Vec3b>(0, 0)[1], 128, 2);
  EXPECT_FALSE(is_srgb(grey_of_gamma(1.0)));
  EXPECT_EQ(to_srgb(with_alpha_of(grey, 7), grey_of_gamma(1.0)).at<cv::Vec4b>(0, 0)[3], 7);
}

TEST(Colour, AGreyProfileSaysNothingOfColours) {
  const cv::Mat brown(4, 4, CV_8UC3, cv::Scalar(200, 60, 20));
  EXPECT_EQ(difference(processed(with_profile(brown, grey_of_gamma(1.0)), R"({"format":"png"})"), brown), 0);
}

TEST(Colour, AllKindsLookThroughTheProfile) {
  const cv::Mat red(16, 16, CV_8UC3, cv::Scalar(200, 100, 100));
  for (const Format format : {Format::kPng, Format::kJpeg, Format::kWebp}) {
    FakeJob job(sdk::find_kind("image.stats"), "{}");
    job.add_input(with_profile(red, display_p3(), format)).run();
    const std::string_view text(reinterpret_cast<const char*>(job.bytes().data()), job.bytes().size());
    const auto stats = boost::json::parse(text);
    EXPECT_NEAR(stats.at("channels").at(0).at("mean").to_number<double>(), 215, 7) << name_of(format);
  }
}

TEST(Colour, AProfilesNameIsUtf8) {
  const cmsHPROFILE profile = cmsCreate_sRGBProfile();
  cmsMLU* name = cmsMLUalloc(nullptr, 1);
  cmsMLUsetWide(name, "en", "US", L"Farbprofil für Ω");
  cmsWriteTag(profile, cmsSigProfileDescriptionTag, name);
  cmsMLUfree(name);
  EXPECT_EQ(profile_description(profile_bytes(profile)), "Farbprofil f\xc3\xbcr \xce\xa9");
}

TEST(Colour, InksGoThroughTheirProfile) {
  const cv::Mat cyan(16, 16, CV_8UC4, cv::Scalar(0, 255, 255, 255));  // 255: no ink, as Adobe stores it
  const File plain = jpeg_of(cyan, {.cmyk = true});
  for (const char* params : {R"({"format":"png"})", R"({"format":"png","operations":[{"op":"resize","width":8}]})"}) {
    const cv::Vec3b as_printed = processed(plain, params).at<cv::Vec3b>(4, 4);
    EXPECT_LE(as_printed[0], 90);
    EXPECT_GE(as_printed[2], 150);
    const cv::Vec3b as_the_profile_says = processed(with_icc_segment(plain, orange_inks()), params).at<cv::Vec3b>(4, 4);
    EXPECT_GE(as_the_profile_says[0], 200);
    EXPECT_NEAR(as_the_profile_says[1], 107, 12);
    EXPECT_LE(as_the_profile_says[2], 80);
  }
  const cv::Mat no_ink(2, 2, CV_8UC4, cv::Scalar::all(255));
  EXPECT_EQ(rgb_of_inks(no_ink, {}).at<cv::Vec3b>(0, 0), cv::Vec3b(255, 255, 255));
  EXPECT_GE(rgb_of_inks(no_ink, orange_inks()).at<cv::Vec3b>(0, 0)[1], 253);
  EXPECT_EQ(rgb_of_inks(no_ink, display_p3()).at<cv::Vec3b>(0, 0), cv::Vec3b(255, 255, 255)) << "not a profile of inks";
}

TEST(Colour, PaddingIsTheColourThatWasAskedFor) {
  const File file = with_profile(cv::Mat(10, 20, CV_8UC3, cv::Scalar(200, 100, 100)), display_p3());
  FakeJob job(sdk::find_kind("image.resize"),
              R"({"width":20,"height":20,"fit":"contain","background":"#c040c0","format":"png"})");
  job.add_input(file).run();
  EXPECT_EQ(picture_of(job.bytes()).at<cv::Vec3b>(1, 1), cv::Vec3b(0xc0, 0x40, 0xc0));
}

}  // namespace
}  // namespace quern::image
