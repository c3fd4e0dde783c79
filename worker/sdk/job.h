// The worker SDK: all that a job module includes.
//
// A job module is a shared object that exports one function through QUERN_JOB_MODULE. It describes
// *kinds* ("image.resize"): their parameters, their inputs, and the function that runs one job. A
// pool's template process loads the module once, calls `preload`, and forks workers from there, so
// what `preload` builds (tables, fonts, models) is shared copy-on-write by all workers of the pool.
//
// The built-in kinds are written against this header and nothing else of Quern; so are yours.
//
// Threads: a worker runs one job at a time on one thread; `run` is never entered twice at once in a
// process. A module must not start threads in `preload` (the template asserts that it is
// single-threaded before each fork).
//
// Errors: `run` throws JobError for what is the job's fault. Any other exception becomes `internal`
// (std::bad_alloc becomes `out_of_memory`), and the worker lives on. A crash, an exit or an endless
// loop costs the worker, never the server: the supervisor sees it, replaces the worker, and tries
// the job again up to its `attempts`.
#pragma once

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/shared_view.h"

namespace quern::sdk {

// Raised when the layout of what crosses the shared-object boundary changes; the template refuses a
// module built against another version.
inline constexpr std::uint32_t kSdkVersion = 7;

// ---- What a kind looks like --------------------------------------------------------------------

enum class ParamType {
  kString,
  kInteger,
  kNumber,
  kBoolean,
  kNumbers,  // a list of numbers
  kList,     // a list of objects, each with parameters of its own
};

struct ParamSpec;

// What an object in a list looks like.
struct ObjectSpec {
  std::string name;  // "blur"; where a list has one shape, a word for messages: "output"
  std::string help;  // one line
  std::vector<ParamSpec> params;
};

// One parameter. The SDK checks each job's parameters against these before `run` is called: an
// unknown name, a wrong type, a value out of range or not among `choices` is answered
// `invalid_argument` with the field's name and what is allowed. Optional parameters that are absent
// are filled in with `fallback` when it is not null, and are simply absent otherwise. Objects in
// lists are checked and filled in alike; a field inside of them is named by its path,
// "outputs[1].operations[0].sigma".
struct ParamSpec {
  std::string name;
  ParamType type = ParamType::kString;
  std::string help;  // one line, shown by `quern kinds`
  boost::json::value fallback = nullptr;
  bool required = false;
  std::optional<double> min{};  // inclusive; of the value, of a string's length in bytes, of a list's length
  std::optional<double> max{};
  std::vector<std::string> choices{};   // of a string; empty: any
  std::vector<std::string> synonyms{};  // of choices: taken, too, but not listed
  // Of a kList: the shapes that its objects may have. Where there are several, each object says by its string
  // member `tag` which one it is: {"op": "blur", "sigma": 2}.
  std::vector<ObjectSpec> items{};
  std::string tag{};
};

// How many input parts a kind takes, and what they are.
struct InputSpec {
  std::uint32_t parts_min = 1;
  std::uint32_t parts_max = 1;
  std::string help;  // "a JPEG, PNG or WebP image"
};

// How many shared buffers a kind works on, and what they hold.
struct SharedSpec {
  std::uint32_t buffers_min = 0;
  std::uint32_t buffers_max = 0;
  std::string help{};  // "64-bit counters, a bin each"
};

// A job that a healthy worker answers with success, in a few milliseconds. The pool's health job runs
// it in a real worker and throws its output away (worker/health.h). It is checked when the module is
// loaded: one with wrong parameters keeps the pool from starting.
struct Canary {
  std::string params_json{};  // as a client would send them; empty: none
  std::string input{};        // the bytes of its one input part; empty: no input part
};

class Job;

struct Kind {
  std::string name;     // "image.resize"
  std::string summary;  // one line
  std::vector<ParamSpec> params;
  InputSpec input;
  std::string output;      // what comes back, one line
  bool sensitive = false;  // inputs and outputs are secrets: every buffer they pass is wiped
  std::function<void(Job&)> run;
  std::optional<Canary> canary{};
  SharedSpec shared{};
  std::string output_suffix{};  // how a file of what comes back ends, where it is always the same: ".json"
};

struct Module {
  std::uint32_t sdk_version = kSdkVersion;
  std::string name;  // "image"
  std::vector<Kind> kinds;
  std::function<void()> preload{};  // runs once in the template, before any fork; may be empty
};

// ---- What a job can fail with ------------------------------------------------------------------

enum class JobErrorCode {
  kInvalidArgument,  // a parameter is wrong in a way that ParamSpec can't say; give the field
  kBadInput,         // the payload can't be decoded
  kTooLarge,         // a size limit was exceeded
  kOutOfMemory,
  kCancelled,  // the handler saw cancel_requested() and stopped
  kInternal,   // a bug, or a failure of the environment
};

class JobError : public std::runtime_error {
 public:
  JobError(JobErrorCode code, const std::string& message, std::string field = {})
      : std::runtime_error(message), code_(code), field_(std::move(field)) {}
  [[nodiscard]] JobErrorCode code() const noexcept { return code_; }
  [[nodiscard]] const std::string& field() const noexcept { return field_; }

 private:
  JobErrorCode code_;
  std::string field_;
};

// ---- A running job -----------------------------------------------------------------------------

struct InputPart {
  std::string_view name;             // may be empty
  std::span<const std::byte> bytes;  // valid until run() returns; read-only memory
};

// One named part of the result. It begins in the channel's arena and moves to a memfd by itself when
// it grows past it, so that writing here is the last copy the bytes see inside Quern. Appending is
// prepare / fill / commit, or write.
class Output {
 public:
  virtual ~Output() = default;
  // At least `n` writable bytes after what was committed. Invalidated by the next prepare or write.
  // Throws JobError(kTooLarge) past the pool's result limit.
  [[nodiscard]] virtual std::span<std::byte> prepare(std::size_t n) = 0;
  // Appends the first `n` bytes of what prepare returned.
  virtual void commit(std::size_t n) = 0;
  // Bytes committed so far.
  [[nodiscard]] virtual std::size_t size() const noexcept = 0;

  virtual void write(std::span<const std::byte> bytes);
  void write(std::string_view text);

  // Passes on at once what was committed, to a client that takes the result as it is made; otherwise it would go
  // when there are 16 KiB of it. For any other client it does nothing. A client that does not keep up makes this,
  // prepare, commit and write wait, for as long as the job may run.
  virtual void flush() {}
};

class Job {
 public:
  virtual ~Job() = default;

  // Checked parameters with defaults filled in.
  [[nodiscard]] virtual const boost::json::object& params() const noexcept = 0;
  [[nodiscard]] virtual std::span<const InputPart> inputs() const noexcept = 0;
  // The shared buffers that the job was submitted with, in their order. Valid until run() returns. Others write to
  // them at the same time: touch them through SharedView::as, and believe nothing that is read there.
  [[nodiscard]] virtual std::span<const SharedView> shared() const noexcept = 0;
  // Starts the next part of the result. Only the newest part can be written to.
  [[nodiscard]] virtual Output& output(std::string_view part_name = {}) = 0;

  // Makes one of inputs() the next part of the result, without a copy if it came as a descriptor.
  virtual void forward(const InputPart& input, std::string_view part_name = {}) = 0;

  // True once a timeout, a cancel or a vanished client asks the job to stop. One relaxed load: poll
  // it in loops. A handler that ignores it is killed after the pool's grace period.
  [[nodiscard]] virtual bool cancel_requested() const noexcept = 0;
  void throw_if_cancelled() const;

  // How far the job is, in a unit of its own; costs a few stores, no system call. A total of 0 is not known. The
  // message says what is being done ("encoding page 3"); what is over 64 bytes of it is cut off.
  virtual void progress(std::uint64_t done, std::uint64_t total, std::string_view message = {}) noexcept = 0;

  // "From now on I take at most so much memory": waits until the pool has it to give (its memory_budget_bytes), so that
  // large jobs queue instead of using up the machine. Called once, with all that the job will hold at its peak, before
  // any of it is allocated. Small reservations cost nothing; see ipc/reservation.h.
  //   Called again with less, it gives back the rest, and never waits. More than before is a bug of the module
  // (kInternal), for two jobs that hold some and wait for more could wait for each other; but who has freed it all may
  // say so with 0, and ask anew, last in line.
  //   All of it is given back when the job ends, however it does. Waiting counts as being queued, not as running.
  // Throws JobError: kTooLarge when there can never be so much; kCancelled when the job is asked to stop first.
  virtual void reserve_memory(std::uint64_t bytes) = 0;

  // 1 on the first try, 2 on the second, ...
  [[nodiscard]] virtual std::uint32_t attempt() const noexcept = 0;

  // AtomicView::wait, for as long as nobody asks the job to stop; throws like throw_if_cancelled then.
  template <class Word>
  [[nodiscard]] WaitResult wait(AtomicView<Word> words, std::size_t index, Word expected,
                                std::chrono::nanoseconds timeout) const {
    return words.wait(index, expected, timeout, [this] { throw_if_cancelled(); });
  }

  // The only input part's bytes (for kinds with exactly one).
  [[nodiscard]] std::span<const std::byte> input() const { return inputs().front().bytes; }

  // Typed access to params(); the parameter must be present (required, or with a fallback).
  [[nodiscard]] std::string_view string(std::string_view param) const;
  [[nodiscard]] std::int64_t integer(std::string_view param) const;
  [[nodiscard]] double number(std::string_view param) const;
  [[nodiscard]] bool boolean(std::string_view param) const;
  [[nodiscard]] bool has(std::string_view param) const noexcept;
  [[nodiscard]] std::vector<double> numbers(std::string_view param) const;
  [[nodiscard]] const boost::json::array& list(std::string_view param) const;  // its objects: worker/sdk/object.h
};

}  // namespace quern::sdk

// Exports a module. FUNCTION takes nothing and returns quern::sdk::Module.
#define QUERN_JOB_MODULE(FUNCTION)                                                                      \
  extern "C" __attribute__((visibility("default"))) const ::quern::sdk::Module* quern_job_module_v1() { \
    static const ::quern::sdk::Module module = FUNCTION();                                              \
    return &module;                                                                                     \
  }
