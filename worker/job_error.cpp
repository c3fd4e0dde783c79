#include "worker/job_error.h"

#include <algorithm>
#include <exception>
#include <new>

#include "common/utf8.h"
#include "worker/sdk/job.h"

namespace quern::worker {
namespace {

ErrorCode to_error_code(sdk::JobErrorCode code) {
  switch (code) {
    case sdk::JobErrorCode::kInvalidArgument: return ErrorCode::kInvalidArgument;
    case sdk::JobErrorCode::kBadInput: return ErrorCode::kBadInput;
    case sdk::JobErrorCode::kTooLarge: return ErrorCode::kTooLarge;
    case sdk::JobErrorCode::kOutOfMemory: return ErrorCode::kOutOfMemory;
    case sdk::JobErrorCode::kCancelled: return ErrorCode::kCancelled;
    case sdk::JobErrorCode::kInternal: break;
  }
  return ErrorCode::kInternal;
}

}  // namespace

std::size_t write_printable(std::string_view text, std::span<char> into) noexcept {
  std::size_t written = 0;
  while (!text.empty()) {
    const std::size_t character = utf8_character(text);
    const std::size_t bytes = std::max<std::size_t>(character, 1);
    const auto first = static_cast<unsigned char>(text.front());
    if (bytes > into.size() - written) break;
    if (first == '\n' || first == '\t') {
      into[written] = ' ';
    } else if (character == 0 || first < 0x20 || first == 0x7f) {
      into[written] = '?';
    } else {
      std::ranges::copy(text.substr(0, bytes), into.subspan(written).begin());
    }
    written += bytes;
    text.remove_prefix(bytes);
  }
  return written;
}

std::string printable(std::string_view text, std::size_t bytes_max) {
  std::string clean(std::min(text.size(), bytes_max), '\0');
  clean.resize(write_printable(text, clean));
  return clean;
}

Error error_of_current_exception() {
  Error error;
  try {
    throw;
  } catch (const sdk::JobError& thrown) {
    error = {.code = to_error_code(thrown.code()), .message = thrown.what(), .field = thrown.field()};
  } catch (const ErrorException& thrown) {
    error = thrown.error();
  } catch (const std::bad_alloc&) {
    error = {.code = ErrorCode::kOutOfMemory, .message = "the job needs more memory than its worker may use"};
  } catch (const std::exception& thrown) {
    error = {.code = ErrorCode::kInternal, .message = std::string("the job module failed: ") + thrown.what()};
  } catch (...) {
    error = {.code = ErrorCode::kInternal, .message = "the job module threw something that is no exception"};
  }
  error.message = printable(error.message, kErrorMessageBytesMax);
  error.field = printable(error.field, kErrorFieldBytesMax);
  return error;
}

}  // namespace quern::worker
