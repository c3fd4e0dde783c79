#include "common/error.h"

#include <fmt/format.h>
#include <string.h>

#include <system_error>

namespace quern {

std::string_view name(ErrorCode code) noexcept {
  switch (code) {
    case ErrorCode::kInvalidArgument: return "invalid_argument";
    case ErrorCode::kBadInput: return "bad_input";
    case ErrorCode::kTooLarge: return "too_large";
    case ErrorCode::kBusy: return "busy";
    case ErrorCode::kTimeout: return "timeout";
    case ErrorCode::kCancelled: return "cancelled";
    case ErrorCode::kWorkerCrashed: return "worker_crashed";
    case ErrorCode::kOutOfMemory: return "out_of_memory";
    case ErrorCode::kShuttingDown: return "shutting_down";
    case ErrorCode::kUnavailable: return "unavailable";
    case ErrorCode::kPermissionDenied: return "permission_denied";
    case ErrorCode::kNotFound: return "not_found";
    case ErrorCode::kProtocolError: return "protocol_error";
    case ErrorCode::kInternal: return "internal";
    case ErrorCode::kUnreachable: return "unreachable";
    case ErrorCode::kQuarantined: return "quarantined";
  }
  return "unknown";
}

std::string_view name(CauseKind kind) noexcept {
  switch (kind) {
    case CauseKind::kNone: return "none";
    case CauseKind::kExited: return "exited";
    case CauseKind::kSignaled: return "signaled";
    case CauseKind::kOutOfMemory: return "out_of_memory";
    case CauseKind::kQueueTimeout: return "queue_timeout";
    case CauseKind::kRunTimeout: return "run_timeout";
    case CauseKind::kDeadline: return "deadline";
    case CauseKind::kSandboxViolation: return "sandbox_violation";
    case CauseKind::kCancelledByClient: return "cancelled_by_client";
    case CauseKind::kClientGone: return "client_gone";
    case CauseKind::kRecycled: return "recycled";
    case CauseKind::kOperator: return "operator";
    case CauseKind::kChannelCorrupt: return "channel_corrupt";
    case CauseKind::kSupervisorStopping: return "supervisor_stopping";
  }
  return "unknown";
}

std::string describe(const Cause& cause) {
  switch (cause.kind) {
    case CauseKind::kExited: return fmt::format("exit code {}", cause.detail);
    case CauseKind::kSignaled: {
      const char* abbreviation = ::sigabbrev_np(cause.detail);
      return abbreviation != nullptr ? fmt::format("signal {} (SIG{})", cause.detail, abbreviation)
                                     : fmt::format("signal {}", cause.detail);
    }
    case CauseKind::kSandboxViolation:
      return cause.detail < 0 ? "forbidden system call" : fmt::format("forbidden system call {}", cause.detail);
    default: break;
  }
  std::string words(name(cause.kind));
  for (char& c : words) {
    if (c == '_') c = ' ';
  }
  return words;
}

bool can_retry(ErrorCode code) noexcept {
  switch (code) {
    case ErrorCode::kBusy:
    case ErrorCode::kTimeout:
    case ErrorCode::kShuttingDown:
    case ErrorCode::kUnavailable:
    case ErrorCode::kUnreachable: return true;
    default: return false;
  }
}

std::string to_string(const Error& error) {
  std::string line = fmt::format("{}: {}", name(error.code), error.message);
  if (error.cause.kind != CauseKind::kNone) line += fmt::format(" ({})", describe(error.cause));
  return line;
}

Error system_error(std::string_view call, std::string_view object, int error_number) {
  const std::string reason = std::generic_category().message(error_number);
  return Error{
      .code = ErrorCode::kInternal,
      .message = object.empty() ? fmt::format("{}: {}", call, reason) : fmt::format("{} {}: {}", call, object, reason)};
}

}  // namespace quern
