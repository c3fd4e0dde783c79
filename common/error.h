// Error, Cause and Result<T>: how an expected failure travels.
//
// An Error is a value. Its `code` is stable: it is the number on the wire, the word in the JSON
// status, in the metrics and in the logs, and docs/protocol.md lists it. Its `message` is for a
// person and says what to do. Exceptions are for what a caller can't go on from.
#pragma once

#include <boost/system/result.hpp>
#include <boost/throw_exception.hpp>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

namespace quern {

// Values are wire format: never renumber, only append.
enum class ErrorCode : std::uint16_t {
  kInvalidArgument = 1,    // a kind, parameter or option is wrong; `field` names it
  kBadInput = 2,           // the payload can't be decoded
  kTooLarge = 3,           // a limit on size was exceeded; the message names the limit
  kBusy = 4,               // the queue is full and the client asked not to wait
  kTimeout = 5,            // queue, run or deadline; `cause` says which
  kCancelled = 6,          // by the client or an operator
  kWorkerCrashed = 7,      // the worker died on every attempt; `cause` says how
  kOutOfMemory = 8,        // the job needed more memory than its pool grants
  kShuttingDown = 9,       // the server is going away
  kUnavailable = 10,       // the pool can't run jobs now (drained, degraded)
  kPermissionDenied = 11,  // the peer may not do this
  kNotFound = 12,          // no such pool (operators' requests)
  kProtocolError = 13,     // a malformed frame; the connection is closed after it
  kInternal = 14,          // a bug in Quern or in a job module
  kUnreachable = 15,       // client side: no server, or the connection broke before the answer
};

// Why a worker or a job ended when it did not end by itself. Values are wire format.
enum class CauseKind : std::uint8_t {
  kNone = 0,
  kExited = 1,    // detail: exit code
  kSignaled = 2,  // detail: signal number
  kOutOfMemory = 3,
  kQueueTimeout = 4,
  kRunTimeout = 5,
  kDeadline = 6,
  kSandboxViolation = 7,  // detail: system call number, -1 if not known
  kCancelledByClient = 8,
  kClientGone = 9,
  kRecycled = 10,
  kOperator = 11,
  kChannelCorrupt = 12,  // the worker wrote what no correct worker writes
  kSupervisorStopping = 13,
};

struct Cause {
  CauseKind kind = CauseKind::kNone;
  std::int32_t detail = 0;
  friend bool operator==(const Cause&, const Cause&) = default;
};

// "invalid_argument", "worker_crashed", ...: the names used everywhere outside the code.
[[nodiscard]] std::string_view name(ErrorCode code) noexcept;
// "exited", "signaled", ...: a metric's label.
[[nodiscard]] std::string_view name(CauseKind kind) noexcept;
// "exit code 3", "signal 11 (SIGSEGV)", "run timeout", ...: for people.
[[nodiscard]] std::string describe(const Cause& cause);

// Whether sending the same job again, unchanged, can help.
[[nodiscard]] bool can_retry(ErrorCode code) noexcept;

struct Error {
  ErrorCode code = ErrorCode::kInternal;
  std::string message;
  std::string field{};  // the offending field, when there is one
  Cause cause{};
  std::uint64_t job_id = 0;          // 0: not about a job
  std::uint32_t retry_after_ms = 0;  // with kBusy and kUnavailable: when to try again
  friend bool operator==(const Error&, const Error&) = default;
};

// "worker_crashed: the worker died ... (signal 11 (SIGSEGV))": one line for people.
[[nodiscard]] std::string to_string(const Error& error);

// What Result<T>::value() throws when there is only an Error.
class ErrorException : public std::runtime_error {
 public:
  explicit ErrorException(Error error) : std::runtime_error(to_string(error)), error_(std::move(error)) {}
  [[nodiscard]] const Error& error() const noexcept { return error_; }

 private:
  Error error_;
};

[[noreturn]] inline void throw_exception_from_error(const Error& error, const boost::source_location& /*where*/) {
  throw ErrorException(error);
}

template <class T>
using Result = boost::system::result<T, Error>;

// An Error for a failed system call, naming the call and the object: "open /run/x: Permission denied".
[[nodiscard]] Error system_error(std::string_view call, std::string_view object, int error_number);

}  // namespace quern
