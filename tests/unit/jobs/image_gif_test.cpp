// GIFs: composed as browsers do, written with little, and broken ones.
#include <gmock/gmock.h>

#include <cstring>
#include <random>
#include <utility>

#include "tests/unit/jobs/broken_files.h"
#include "tests/unit/jobs/gifs.h"
#include "tests/unit/jobs/pictures.h"

namespace quern::image {
namespace {

using sdk::error_of;
using sdk::JobErrorCode;
using testing::ElementsAre;
using testing::HasSubstr;

struct Animation {
  Header header;
  std::vector<cv::Mat> pictures{};
  std::vector<std::uint32_t> delays_ms{};
};

Animation decode_animation(const File& file, FailOn fail_on = FailOn::kWarning) {
  const sdk::Kind nothing{};
  const sdk::FakeJob job(nothing);
  const auto decoder = open_decoder(file, fail_on, job);
  Animation animation{.header = decoder->header()};
  for (std::uint32_t i = 0; i < decoder->header().frames; ++i) {
    const Frame frame = decoder->next({});
    animation.pictures.push_back(std::get<cv::Mat>(frame.picture));
    animation.delays_ms.push_back(frame.delay_ms);
  }
  return animation;
}

// A pixel as a letter: red, green, blue, black, or nothing.
char letter(const cv::Mat& picture, int x, int y) {
  const bool transparent = picture.channels() == 4 && picture.at<cv::Vec4b>(y, x)[3] == 0;
  if (transparent) return '.';
  const std::uint8_t* p = picture.ptr(y, x);
  return p[0] > 128 ? 'r' : p[1] > 128 ? 'g' : p[2] > 128 ? 'b' : 'k';
}

std::string row(const cv::Mat& picture, int y) {
  std::string letters;
  for (int x = 0; x < picture.cols; ++x) letters += letter(picture, x, y);
  return letters;
}

std::vector<std::string> rows(const Animation& animation, int y) {
  std::vector<std::string> all;
  for (const cv::Mat& picture : animation.pictures) all.push_back(row(picture, y));
  return all;
}

TEST(Gif, AStillPictureIsRead) {
  const Animation still = decode_animation(gif_of({.pictures = {{.rows = {0, 1, 2, 3}}}}));
  EXPECT_EQ(still.header.format, Format::kGif);
  EXPECT_EQ(still.header.width, 4U);
  EXPECT_EQ(still.header.frames, 1U);
  EXPECT_FALSE(still.header.alpha);
  EXPECT_EQ(still.header.palette_bits, 2);
  EXPECT_TRUE(still.header.delays_ms.empty());
  EXPECT_EQ(still.pictures[0].channels(), 3);
  EXPECT_EQ(row(still.pictures[0], 0), "krgb");
  EXPECT_EQ(row(still.pictures[0], 1), "rrrr");
}

TEST(Gif, InterlacedRowsComeInTheirOrder) {
  GifPicture picture{.area = {0, 0, 1, 10}, .interlaced = true};
  // as stored: rows 0 8, 4, 2 6, 1 3 5 7 9
  picture.rows = {0, 1, 2, 3, 3, 1, 1, 1, 1, 1};
  const Animation still = decode_animation(gif_of({.canvas = {1, 10}, .pictures = {picture}}));
  EXPECT_TRUE(still.header.progressive);
  std::string column;
  for (int y = 0; y < 10; ++y) column += letter(still.pictures[0], 0, y);
  EXPECT_EQ(column, "krbrgrbrrr");
}

TEST(Gif, WhatIsTransparentShowsThePictureBefore) {
  const Animation animation = decode_animation(gif_of(
      {.pictures = {{.index = 1}, {.transparent = 2, .rows = {2, 3, 2, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2}}}}));
  EXPECT_TRUE(animation.header.alpha);
  EXPECT_THAT(rows(animation, 0), ElementsAre("rrrr", "rbrb"));
  EXPECT_THAT(rows(animation, 1), ElementsAre("rrrr", "rrrr"));
}

TEST(Gif, DisposalIsAsTheFormatSays) {
  const cv::Rect part(1, 0, 2, 1);
  const auto after = [&](int disposal) {
    return rows(decode_animation(gif_of({.pictures = {{.index = 1},
                                                      {.area = part, .index = 2, .disposal = disposal},
                                                      {.area = {3, 0, 1, 1}, .index = 3}}})),
                0);
  };
  EXPECT_THAT(after(0), ElementsAre("rrrr", "rggr", "rggb"));
  EXPECT_THAT(after(1), ElementsAre("rrrr", "rggr", "rggb"));
  EXPECT_THAT(after(2), ElementsAre("rrrr", "rggr", "r..b"));
  EXPECT_THAT(after(3), ElementsAre("rrrr", "rggr", "rrrb"));
}

TEST(Gif, AFirstPictureThatVanishesLeavesNothing) {
  const Animation animation =
      decode_animation(gif_of({.pictures = {{.disposal = 3}, {.area = {0, 0, 1, 1}, .index = 2}}}));
  EXPECT_THAT(rows(animation, 0), ElementsAre("rrrr", "g..."));
}

TEST(Gif, ASecondPictureThatVanishesTwiceLeavesTheFirst) {
  const Animation animation = decode_animation(gif_of({.pictures = {{.index = 1},
                                                                    {.area = {0, 0, 2, 1}, .index = 2, .disposal = 3},
                                                                    {.area = {1, 0, 2, 1}, .index = 3, .disposal = 3},
                                                                    {.area = {3, 3, 1, 1}, .index = 3}}}));
  EXPECT_FALSE(animation.header.alpha);
  EXPECT_THAT(rows(animation, 0), ElementsAre("rrrr", "ggrr", "rbbr", "rrrr"));
}

TEST(Gif, APalettesOwnerIsItsPicture) {
  const Animation animation =
      decode_animation(gif_of({.pictures = {{.index = 1}, {.index = 1, .palette = {0xff0000, 0x0000ff}}}}));
  EXPECT_THAT(rows(animation, 0), ElementsAre("rrrr", "bbbb"));
}

TEST(Gif, WhatLiesOutsideOfTheCanvasIsCut) {
  const Animation animation = decode_animation(gif_of({.pictures = {{.index = 1},
                                                                    {.area = {2, 2, 100, 100}, .index = 2},
                                                                    {.area = {60, 60, 9, 9}, .index = 3},
                                                                    {.area = {0, 0, 1, 1}, .index = 3}}}));
  EXPECT_EQ(animation.pictures[1].size(), cv::Size(4, 4));
  EXPECT_THAT(rows(animation, 3), ElementsAre("rrrr", "rrgg", "rrgg", "rrgg"));
  EXPECT_THAT(rows(animation, 0), ElementsAre("rrrr", "rrrr", "rrrr", "brrr"));
}

TEST(Gif, APictureSmallerThanTheCanvasLiesOnNothing) {
  const Animation still = decode_animation(gif_of({.pictures = {{.area = {1, 1, 2, 2}}}}));
  EXPECT_TRUE(still.header.alpha);
  EXPECT_EQ(row(still.pictures[0], 0), "....");
  EXPECT_EQ(row(still.pictures[0], 1), ".rr.");
}

TEST(Gif, ACanvasWithoutASizeIsItsFirstPictures) {
  const Animation still = decode_animation(gif_of({.canvas = {0, 0}, .pictures = {{.area = {0, 0, 3, 2}}}}));
  EXPECT_EQ(still.pictures[0].size(), cv::Size(3, 2));
}

// giflib would not write one: of a picture of one pixel, the size is taken away.
File without_sizes(File file) {
  for (std::size_t at = 0; at + 9 < file.size(); ++at) {
    if (std::memcmp(file.data() + at, ",\0\0\0\0\1\0\1\0", 9) == 0) file[at + 5] = file[at + 7] = std::byte{0};
  }
  return file;
}

TEST(Gif, APictureOfNoSizeChangesNothing) {
  const cv::Rect none(0, 0, 1, 1);
  const Animation animation = decode_animation(
      without_sizes(gif_of({.pictures = {{.index = 1}, {.area = none, .disposal = 3}, {.index = 2}}})));
  EXPECT_THAT(rows(animation, 0), ElementsAre("rrrr", "rrrr", "gggg"));
  const File nothing = without_sizes(gif_of({.canvas = {0, 0}, .pictures = {{.area = none}}}));
  EXPECT_STREQ(error_of([&] { (void)decode_animation(nothing); }).what(), "GIF: it has no picture");
}

// The file's palette of four made one of two; its pictures' codes stay.
TEST(Gif, AnIndexThatThePaletteHasNotChangesNothing) {
  File file = gif_of({.pictures = {{.index = 1}, {.rows = {3}}}});
  file[10] &= std::byte{0xf8};
  file.erase(file.begin() + 13 + 6, file.begin() + 13 + 12);
  const Animation two = decode_animation(file);
  EXPECT_EQ(row(two.pictures[1], 0), "rrrr");
}

TEST(Gif, DelaysAreThoseOfBrowsers) {
  const Animation animation =
      decode_animation(gif_of({.pictures = {{.delay_cs = 0}, {.delay_cs = 1}, {.delay_cs = 2}, {.delay_cs = 65535}}}));
  EXPECT_THAT(animation.delays_ms, ElementsAre(100, 100, 20, 655'350));
  EXPECT_EQ(animation.header.delays_ms, animation.delays_ms);
}

TEST(Gif, LoopsAreHowOftenItIsPlayed) {
  const auto loops = [](int netscape) {
    return decode_animation(gif_of({.netscape = netscape, .pictures = {{}, {}}})).header.loops;
  };
  EXPECT_EQ(loops(-1), 1U);
  EXPECT_EQ(loops(0), 0U);
  EXPECT_EQ(loops(1), 2U);
  EXPECT_EQ(loops(0x1234), 0x1235U);
}

TEST(Gif, OnlyAMissingEndIsNoDamage) {
  File file = gif_of({.pictures = {{}, {.index = 2}}});
  file.pop_back();
  EXPECT_EQ(decode_animation(file).header.frames, 2U);
  file.pop_back();
  EXPECT_STREQ(error_of([&] { (void)decode_animation(file); }).what(), "GIF: the file is cut short");
}

TEST(Gif, WhatIsLeftOfADamagedOneIsShownWhenAsked) {
  File file = gif_of({.pictures = {{.index = 1}, {.index = 2}, {.index = 3}}});
  file.resize(file.size() - 20);
  const Animation animation = decode_animation(file, FailOn::kNone);
  EXPECT_EQ(animation.header.frames, 2U);
  EXPECT_EQ(row(animation.pictures[0], 0), "rrrr");
}

// ---- Written -------------------------------------------------------------------------------------------

struct Written {
  std::vector<cv::Mat> pictures{};
  std::vector<std::uint32_t> delays_ms{};
  EncodeOptions options{};
};

File write(const Written& written) {
  const sdk::Kind nothing{};
  sdk::FakeJob job(nothing);
  EncodeOptions options = written.options;
  options.format = Format::kGif;
  options.frames = static_cast<std::uint32_t>(written.pictures.size());
  const auto encoder = make_encoder(options, job);
  for (std::size_t i = 0; i < written.pictures.size(); ++i) {
    encoder->add(
        {.picture = written.pictures[i], .delay_ms = i < written.delays_ms.size() ? written.delays_ms[i] : 100});
  }
  encoder->finish(job.output({}));
  return {job.bytes().begin(), job.bytes().end()};
}

cv::Mat few_colors(int width, int height, int seed) {
  cv::Mat picture(height, width, CV_8UC3);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      picture.at<cv::Vec3b>(y, x) =
          cv::Vec3b(static_cast<std::uint8_t>((x + seed) % 6 * 51), static_cast<std::uint8_t>((y + seed) % 6 * 51),
                    static_cast<std::uint8_t>((x * y) % 6 * 51));
    }
  }
  return picture;
}

TEST(Gif, AsManyColoursAsThereIsRoomForAreKept) {
  const cv::Mat picture = few_colors(60, 50, 0);
  EXPECT_EQ(difference(picture_of(write({.pictures = {picture}})), picture), 0);
}

TEST(Gif, MoreAreComeClose) {
  const cv::Mat picture = gradient(123, 77);
  EXPECT_LE(cv::norm(picture_of(write({.pictures = {picture}})), picture, cv::NORM_L1) / (123 * 77 * 3), 4);
}

TEST(Gif, AlphaHasOneBit) {
  cv::Mat picture = with_alpha_of(cv::Mat(4, 4, CV_8UC3, cv::Scalar(255, 0, 0)), 255);
  picture.at<cv::Vec4b>(0, 1)[3] = 127;
  picture.at<cv::Vec4b>(0, 2)[3] = 128;
  const cv::Mat out = picture_of(write({.pictures = {picture}}));
  EXPECT_EQ(row(out, 0), "r.rr");
  EXPECT_EQ(out.at<cv::Vec4b>(0, 2)[3], 255);
  picture.setTo(cv::Scalar::all(0));
  EXPECT_EQ(row(picture_of(write({.pictures = {picture}})), 3), "....");
}

TEST(Gif, AnimationsRoundTrip) {
  Written written{.delays_ms = {40, 70, 1000, 20, 30}, .options = {.loops = 3}};
  for (int i = 0; i < 5; ++i) written.pictures.push_back(few_colors(40, 30, i));
  written.pictures[3] = written.pictures[2];
  const Animation read = decode_animation(write(written));
  EXPECT_EQ(read.header.frames, 5U);
  EXPECT_EQ(read.header.loops, 3U);
  EXPECT_EQ(read.delays_ms, written.delays_ms);
  for (std::size_t i = 0; i < 5; ++i) {
    cv::Mat expected = read.pictures[i].channels() == 4 ? with_alpha_of(written.pictures[i], 255) : written.pictures[i];
    EXPECT_EQ(difference(read.pictures[i], expected), 0) << i;
  }
}

TEST(Gif, LoopsAreWritten) {
  for (const std::uint32_t loops : {0U, 1U, 2U, 65'536U}) {
    const Animation read =
        decode_animation(write({.pictures = {few_colors(4, 4, 0), few_colors(4, 4, 1)}, .options = {.loops = loops}}));
    EXPECT_EQ(read.header.loops, loops);
  }
}

// Every way from opaque and transparent to opaque and transparent.
TEST(Gif, TransparencyComesAndGoes) {
  Written written;
  std::minstd_rand random(3);
  for (int i = 0; i < 30; ++i) {
    cv::Mat picture(8, 9, CV_8UC4, cv::Scalar::all(0));
    for (int y = 0; y < 8; ++y) {
      for (int x = 0; x < 9; ++x) {
        if (i % 5 == 1 && y > 3) continue;
        if (random() % 3 != 0 || i % 3 == 0) picture.at<cv::Vec4b>(y, x) = cv::Vec4b(i % 2 == 0 ? 255 : 0, 0, 255, 255);
      }
    }
    written.pictures.push_back(picture);
  }
  const Animation read = decode_animation(write(written));
  for (std::size_t i = 0; i < written.pictures.size(); ++i) {
    EXPECT_EQ(difference(read.pictures[i], written.pictures[i]), 0) << i;
  }
}

TEST(Gif, WhatDoesNotChangeIsNotWrittenAgain) {
  Written written;
  cv::Mat noise(100, 100, CV_8UC3);
  cv::RNG(1).fill(noise, cv::RNG::UNIFORM, 0, 255);
  for (int i = 0; i < 10; ++i) {
    cv::Mat picture = noise.clone();
    picture(cv::Rect(i * 5, 3, 8, 8)).setTo(cv::Scalar(255, 0, 0));
    written.pictures.push_back(picture);
  }
  const std::size_t one = write({.pictures = {written.pictures[0]}}).size();
  EXPECT_LT(write(written).size(), 2 * one);
}

TEST(Gif, HasTheLongestSideThatItsFormatHas) {
  EXPECT_EQ(picture_of(write({.pictures = {cv::Mat(1, 65'535, CV_8UC3, cv::Scalar(0, 0, 0))}})).cols, 65'535);
}

// ---- Broken --------------------------------------------------------------------------------------------

File with_everything() {
  return gif_of(
      {.canvas = {30, 20},
       .netscape = 2,
       .pictures = {{.area = {0, 0, 30, 20}, .rows = {1, 2, 3, 2, 1, 2, 3, 3}},
                    {.area = {5, 5, 20, 10}, .index = 2, .disposal = 3, .transparent = 1, .interlaced = true},
                    {.area = {2, 2, 40, 10}, .disposal = 2, .palette = {1, 2, 3, 4, 5, 6, 7, 8}, .rows = {7, 6}},
                    {.area = {0, 0, 1, 1}, .index = 3}}});
}

TEST(Gif, CutShortAnywhereItIsAnErrorOrAPicture) {
  const File file = with_everything();
  for (std::size_t size = 0; size + 1 < file.size(); ++size) {
    try {
      const Animation read = decode_animation(File(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(size)));
      ASSERT_LT(read.header.frames, 4U);  // it ends between two pictures: who could know
    } catch (const sdk::JobError& error) {
      ASSERT_EQ(error.code(), JobErrorCode::kBadInput);
    }
  }
  expect_survives_cutting(file);
}

TEST(Gif, AnyByteChangedIsAPictureOrAnError) { expect_survives_changes(with_everything(), 20'000); }

TEST(Gif, AHeadersClaimTakesNoMemory) {
  expect_claim_is_free(gif_of({.canvas = {65'535, 65'535}, .pictures = {{}}}), 65'535, 65'535);
}

// A picture far larger than the canvas: what nobody sees is not decoded.
TEST(Gif, HugePicturesOnASmallCanvasAreCheap) {
  Gif gif{.canvas = {8, 8}};
  for (int i = 0; i < 20; ++i) gif.pictures.push_back({.area = {0, 0, 8, 20'000}, .index = 1});
  const sdk::Kind nothing{};
  const File file = gif_of(gif);
  const sdk::FakeJob job(nothing);
  const auto decoder = open_decoder(file, FailOn::kWarning, job);
  for (int i = 0; i < 20; ++i) (void)decoder->next({});
  EXPECT_LT(job.polls, 100U);
}

TEST(Gif, DecodingStopsWhenAsked) {
  expect_decoding_stops(
      gif_of({.canvas = {300, 300}, .pictures = {{.area = {0, 0, 300, 300}}, {.area = {0, 0, 300, 300}}}}));
}

TEST(Gif, EncodingStopsWhenAsked) {
  const sdk::Kind nothing{};
  const auto encode_twice = [](const sdk::Job& job) {
    const auto encoder = make_encoder({.format = Format::kGif, .frames = 2}, job);
    for (int i = 0; i < 2; ++i) encoder->add({.picture = few_colors(200, 200, i)});
    sdk::FakeJob out{sdk::Kind{}};
    encoder->finish(out.output({}));
  };
  const sdk::FakeJob whole(nothing);
  encode_twice(whole);
  ASSERT_GT(whole.polls, 10U);
  for (std::size_t polls = 1; polls < whole.polls; polls += 5) {
    sdk::FakeJob job(nothing);
    job.polls_until_cancel = polls;
    EXPECT_EQ(error_of([&] { encode_twice(job); }).code(), JobErrorCode::kCancelled) << polls;
  }
}

}  // namespace
}  // namespace quern::image
