#include "common/error.h"

#include <gtest/gtest.h>
#include <signal.h>

namespace quern {
namespace {

TEST(Error, SaysCodeMessageAndCause) {
  const Error error{.code = ErrorCode::kWorkerCrashed, .message = "it died", .cause = {CauseKind::kSignaled, SIGSEGV}};
  EXPECT_EQ(to_string(error), "worker_crashed: it died (signal 11 (SIGSEGV))");
}

TEST(Error, EveryCodeAndCauseHasAName) {
  for (std::uint16_t code = 1; code <= 15; ++code) EXPECT_NE(name(static_cast<ErrorCode>(code)), "unknown") << code;
  for (std::uint8_t kind = 0; kind <= 13; ++kind) EXPECT_NE(name(static_cast<CauseKind>(kind)), "unknown") << int{kind};
}

TEST(Error, OnlyWhatMayPassCanBeRetried) {
  EXPECT_TRUE(can_retry(ErrorCode::kBusy));
  EXPECT_FALSE(can_retry(ErrorCode::kBadInput));
}

TEST(Result, ThrowsItsErrorWhenReadInVain) {
  const Result<int> result = Error{.code = ErrorCode::kBusy, .message = "full"};
  EXPECT_THROW((void)result.value(), ErrorException);
}

}  // namespace
}  // namespace quern
