#include "worker/job_error.h"

#include <gtest/gtest.h>

#include "ipc/bytes.h"
#include "ipc/wire.h"
#include "worker/sdk/job.h"

namespace quern::worker {
namespace {

template <class Thrown>
Error error_of(Thrown thrown) {
  try {
    throw thrown;
  } catch (...) {
    return error_of_current_exception();
  }
}

TEST(Printable, KeepsUtf8AndReplacesWhatIsNot) {
  EXPECT_EQ(printable("plain", 100), "plain");
  EXPECT_EQ(printable("Grüße, 世界 🌾", 100), "Grüße, 世界 🌾");
  EXPECT_EQ(printable("a\x01\x7f\xff z", 100), "a??? z");
  EXPECT_EQ(printable("two\nlines\tof", 100), "two lines of");
  EXPECT_EQ(printable("\xc0\xaf", 100), "??") << "an overlong slash";
  EXPECT_EQ(printable("\xed\xa0\x80", 100), "???") << "a surrogate";
  EXPECT_EQ(printable("\xf4\x90\x80\x80", 100), "????") << "beyond U+10FFFF";
  EXPECT_EQ(printable("\xe4\xb8", 100), "??") << "cut short";
}

TEST(Printable, CutsBetweenCharacters) {
  EXPECT_EQ(printable("abcdef", 3), "abc");
  EXPECT_EQ(printable("a世b", 3), "a");
  EXPECT_EQ(printable("a世b", 4), "a世");
}

TEST(JobErrors, KeepTheirCodeAndField) {
  const Error error = error_of(sdk::JobError(sdk::JobErrorCode::kInvalidArgument, "too wide", "width"));
  EXPECT_EQ(error.code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(error.message, "too wide");
  EXPECT_EQ(error.field, "width");
  EXPECT_EQ(error_of(sdk::JobError(sdk::JobErrorCode::kTooLarge, "")).code, ErrorCode::kTooLarge);
  EXPECT_EQ(error_of(sdk::JobError(sdk::JobErrorCode::kCancelled, "")).code, ErrorCode::kCancelled);
  EXPECT_EQ(error_of(sdk::JobError(sdk::JobErrorCode::kBadInput, "")).code, ErrorCode::kBadInput);
}

TEST(JobErrors, AreMadeOfAnyException) {
  EXPECT_EQ(error_of(std::bad_alloc()).code, ErrorCode::kOutOfMemory);
  EXPECT_EQ(error_of(std::runtime_error("no")).code, ErrorCode::kInternal);
  EXPECT_EQ(error_of(std::runtime_error("no")).message, "the job module failed: no");
  EXPECT_EQ(error_of(42).code, ErrorCode::kInternal);
}

TEST(JobErrors, FitTheSmallestExtentHoweverLong) {
  const Error error =
      error_of(sdk::JobError(sdk::JobErrorCode::kBadInput, std::string(100'000, 'm'), std::string(100'000, 'f')));
  std::vector<std::byte> body;
  ipc::ByteWriter writer(body);
  wire::encode_error(writer, error);
  EXPECT_LE(body.size(), ipc::kPageBytes);
  EXPECT_EQ(wire::decode_error(body), error);
}

}  // namespace
}  // namespace quern::worker
