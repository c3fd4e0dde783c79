#include "tests/unit/jobs/broken_files.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <random>

namespace quern::image {
namespace {

const sdk::Kind kNothing{};
constexpr std::uint64_t kPixelsMax = 10'000'000;  // the module's own check comes before any pixel
constexpr std::uint32_t kFramesMax = 100;

void decode_all(std::span<const std::byte> file, FailOn fail_on, cv::Mat* last = nullptr) {
  const sdk::FakeJob job(kNothing);
  const auto decoder = open_decoder(file, fail_on, job);
  const Header& header = decoder->header();
  if (header.pixels() > kPixelsMax) return;
  ASSERT_TRUE(header.delays_ms.empty() || header.delays_ms.size() == header.frames);
  (void)decoder->metadata();
  for (std::uint32_t i = 0; i < std::min(header.frames, kFramesMax); ++i) {
    const Frame frame = decoder->next({});
    ASSERT_EQ(size_of(frame.picture), header.size());
    if (last != nullptr) *last = std::get<cv::Mat>(frame.picture);
  }
}

void expect_picture_or_error(std::span<const std::byte> file, FailOn fail_on) {
  try {
    decode_all(file, fail_on);
  } catch (const sdk::JobError& error) {
    ASSERT_TRUE(error.code() == sdk::JobErrorCode::kBadInput || error.code() == sdk::JobErrorCode::kTooLarge)
        << error.what();
    ASSERT_STRNE(error.what(), "");
  } catch (const std::bad_alloc&) {
  }
}

long peak_kib() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss;
}

}  // namespace

cv::Mat decode_forgiving(std::span<const std::byte> file) {
  cv::Mat last;
  decode_all(file, FailOn::kNone, &last);
  return last;
}

void expect_survives_cutting(const File& file) {
  testing::internal::CaptureStderr();
  for (std::size_t size = 0; size < file.size(); ++size) {
    const File cut(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(size));  // its end is the block's
    for (const FailOn fail_on : {FailOn::kNone, FailOn::kTruncated, FailOn::kError, FailOn::kWarning}) {
      expect_picture_or_error(cut, fail_on);
    }
  }
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

void expect_survives_changes(const File& file, int rounds) {
  std::minstd_rand random(7);
  testing::internal::CaptureStderr();
  for (int round = 0; round < rounds; ++round) {
    File broken = file;
    for (int i = 0; i < 1 + round % 4; ++i) broken[random() % broken.size()] = static_cast<std::byte>(random());
    expect_picture_or_error(broken, round % 2 == 0 ? FailOn::kWarning : FailOn::kNone);
  }
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

void expect_claim_is_free(const File& file, std::uint32_t width, std::uint32_t height) {
  const sdk::FakeJob job(kNothing);
  const long before = peak_kib();
  const auto decoder = open_decoder(file, FailOn::kWarning, job);
  EXPECT_EQ(decoder->header().width, width);
  EXPECT_EQ(decoder->header().height, height);
  EXPECT_LE(peak_kib() - before, 8192);
}

void expect_decoding_stops(const File& file) {
  const auto decode = [&](const sdk::FakeJob& job) {
    const auto decoder = open_decoder(file, FailOn::kWarning, job);
    for (std::uint32_t i = 0; i < decoder->header().frames; ++i) (void)decoder->next({});
  };
  const sdk::FakeJob whole(kNothing);
  decode(whole);
  ASSERT_GT(whole.polls, 2U);
  for (std::size_t polls = 1; polls < whole.polls; polls += 1 + whole.polls / 20) {
    sdk::FakeJob job(kNothing);
    job.polls_until_cancel = polls;
    EXPECT_EQ(sdk::error_of([&] { decode(job); }).code(), sdk::JobErrorCode::kCancelled) << polls;
  }
}

}  // namespace quern::image
