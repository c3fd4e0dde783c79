// The `quern` command's exit codes; `quern --help` and docs/operations.md list them.
#pragma once

#include "common/error.h"

namespace quern::cli {

enum ExitCode : int {
  kOk = 0,
  kUsage = 2,        // the command line, or invalid_argument from the server
  kJobError = 3,     // bad_input, too_large, out_of_memory, internal ...; `batch`: some files failed
  kUnreachable = 4,  // no server, or the connection broke
  kBusy = 5,         // busy, unavailable, shutting_down; `health`: a pool can't do its work
  kTimeout = 6,
  kCrashed = 7,  // the worker died on every attempt, or the job is in quarantine for it
  kCancelled = 8,
};

inline constexpr const char* kExitCodesHelp =
    "Exit codes: 0 done, 2 wrong command line or argument, 3 the job failed, 4 server unreachable,\n"
    "5 busy or unavailable, 6 timeout, 7 worker crashed, 8 cancelled. `quern batch`: 3 for any file that failed.";

[[nodiscard]] inline int exit_code_of(ErrorCode code) noexcept {
  switch (code) {
    case ErrorCode::kInvalidArgument:
    case ErrorCode::kNotFound:
    case ErrorCode::kPermissionDenied: return kUsage;
    case ErrorCode::kUnreachable:
    case ErrorCode::kProtocolError: return kUnreachable;
    case ErrorCode::kBusy:
    case ErrorCode::kUnavailable:
    case ErrorCode::kShuttingDown: return kBusy;
    case ErrorCode::kTimeout: return kTimeout;
    case ErrorCode::kWorkerCrashed:
    case ErrorCode::kQuarantined: return kCrashed;
    case ErrorCode::kCancelled: return kCancelled;
    default: return kJobError;
  }
}

// Prints "quern: code: message" and returns the exit code.
int report(const Error& error);

}  // namespace quern::cli
