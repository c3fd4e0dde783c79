#include "client/cli/batch_run.h"

#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/json/serialize.hpp>
#include <cstdlib>
#include <filesystem>
#include <type_traits>
#include <utility>

#include "client/cli/exit_code.h"
#include "client/cli/result_format.h"
#include "client/cli/terminal.h"

namespace quern::cli {
namespace {

namespace asio = boost::asio;
namespace fs = std::filesystem;
using std::chrono::milliseconds;

constexpr milliseconds kPauseMin{100};  // between two tries of a job: doubled from the first to the second
constexpr milliseconds kPauseMax{2000};
constexpr std::uint32_t kReaders = 4;  // enough to keep a disk with a queue busy

// Runs `work` on a thread of the pool; the coroutine goes on where it was. By reference: GCC 12 may destroy a temporary
// closure in a co_await twice, so it has a name in the caller's frame, which outlives this.
template <class Work>
asio::awaitable<std::invoke_result_t<const Work&>> run_there(const Work& work) {
  co_return work();
}
template <class Work>
asio::awaitable<std::invoke_result_t<const Work&>> on(asio::thread_pool& pool, const Work& work) {
  co_return co_await asio::co_spawn(pool.get_executor(), run_there(work), asio::use_awaitable);
}

Error cancelled() { return {.code = ErrorCode::kCancelled, .message = "the run was stopped"}; }

milliseconds since(std::chrono::steady_clock::time_point then) {
  return std::chrono::duration_cast<milliseconds>(std::chrono::steady_clock::now() - then);
}

std::uint64_t size_of(const client::Part& part) {
  if (!part.in_fd()) return part.bytes().size();
  const auto size = ipc::sealed_size(part.fd().get());
  return size ? *size : 0;
}

// Not so under nohup(1).
bool ends_with_its_terminal() {
  struct sigaction hangup {};
  return ::sigaction(SIGHUP, nullptr, &hangup) == 0 && hangup.sa_handler != SIG_IGN;
}

// The first part of a result, which the worker has written into the file.
Result<client::ResultPart> part_in_file(const ReplacedFile& file, const std::string& name, std::uint64_t bytes) {
  if (bytes == 0) return client::ResultPart(name, std::vector<std::byte>());
  unique_fd fd(::fcntl(file.fd(), F_DUPFD_CLOEXEC, 0));
  if (!fd) return system_error("fcntl(F_DUPFD_CLOEXEC)", "a result", errno);
  auto mapping = ipc::Mapping::map(fd.get(), bytes, ipc::Access::kReadOnly);
  if (!mapping) return mapping.error();
  return client::ResultPart(name, std::move(fd), std::move(*mapping));
}

}  // namespace

BatchRun::BatchRun(client::Client& client, const BatchArguments& batch, const boost::json::object& kind,
                   InputSource& inputs, std::vector<client::Part> also)
    : client_(client),
      batch_(batch),
      kind_(kind),
      inputs_(inputs),
      also_(std::move(also)),
      suffix_(batch.suffix ? batch.suffix : result_suffix(kind, batch.params)),
      style_(progress_style(batch.progress, can_redraw(STDERR_FILENO))),
      report_({.style = style_,
               .json = batch.json,
               .verbose = batch.verbose,
               .list_failures = style_ == ProgressStyle::kBar}),
      signals_(io_, SIGINT, SIGTERM),
      redraw_(io_),
      readers_(std::min(batch.jobs, kReaders)) {}

int BatchRun::run() {
  if (ends_with_its_terminal()) signals_.add(SIGHUP);
  for (std::uint32_t i = 0; i < batch_.jobs; ++i) runners_.emplace_back(io_);
  runners_left_ = batch_.jobs;
  for (Runner& runner : runners_) asio::co_spawn(io_, take_inputs(runner), asio::detached);
  asio::co_spawn(io_, watch_signals(), asio::detached);
  asio::co_spawn(io_, show(), asio::detached);
  io_.run();
  report_.summarize(stopped_);
  if (!stopped_.empty()) return exit_code_;
  return report_.totals().failed > 0 ? kJobError : kOk;
}

// ---- Runners

asio::awaitable<void> BatchRun::take_inputs(Runner& runner) {
  const auto take = [this] { return inputs_.take(); };
  while (stopped_.empty()) {
    InputSource::Taken taken = co_await on(names_, take);
    report_.know_of(taken.known, taken.all_known);
    if (!taken.input || !stopped_.empty()) break;
    const FileOutcome outcome = co_await see_through(runner, std::move(*taken.input));
    runner.running.reset();
    note_end(outcome);
  }
  if (--runners_left_ > 0) co_return;
  signals_.cancel();
  redraw_.cancel();
}

void BatchRun::note_end(const FileOutcome& outcome) {
  report_.file_ended(outcome);
  if (report_.output_broken()) stop("standard output can't be written", kJobError);
  if (outcome.end == FileEnd::kFailed && batch_.fail_fast) stop("a file failed (--fail-fast)", kJobError);
}

asio::awaitable<FileOutcome> BatchRun::see_through(Runner& runner, BatchInput input) {
  runner.began = Clock::now();
  FileOutcome file{.input = input.path};
  const auto ended = [&](FileEnd end, const Error& error = {}) {
    file.end =
        end == FileEnd::kFailed && !stopped_.empty() && error.code == ErrorCode::kCancelled ? FileEnd::kCancelled : end;
    file.error = error;
    file.wall = since(runner.began);
    runner.file.reset();
    return file;
  };
  if (input.refused) co_return ended(FileEnd::kFailed, *input.refused);
  file.output = output_path(batch_.to, input, suffix_ ? *suffix_ : suffix_like_input(kind_, input));
  if (!outputs_.claim(file.output)) {
    co_return ended(FileEnd::kFailed,
                    usage_error(fmt::format("{} is the output of another input of this run", file.output), "to"));
  }
  if (batch_.skip_existing && is_up_to_date(file.output, input.path)) co_return ended(FileEnd::kSkipped);
  if (const auto ready = prepare_output(file.output, input.path); !ready)
    co_return ended(FileEnd::kFailed, ready.error());
  runner.running = RunningFile{.input = input.path};
  const auto read = [&input] { return read_input(input.path); };
  auto part = co_await on(readers_, read);
  if (!part) co_return ended(FileEnd::kFailed, part.error());
  file.input_bytes = size_of(*part);
  const client::Job job = job_of(std::move(*part), file.output);
  auto result = co_await run_patiently(runner, file, job);
  if (!result) co_return ended(FileEnd::kFailed, result.error());
  const auto stored = store(runner, input, file, result->parts);
  if (!stored) co_return ended(FileEnd::kFailed, stored.error());
  file.output_bytes = *stored;
  co_return ended(FileEnd::kDone);
}

// What the output's name says of its format goes along, so that the name is true.
client::Job BatchRun::job_of(client::Part part, const std::string& output) const {
  boost::json::object params = batch_.params;
  settle_formats(kind_, params, output);
  client::Job job{.kind = batch_.kind, .params_json = boost::json::serialize(params), .options = batch_.options};
  job.parts.push_back(std::move(part));
  job.parts.insert(job.parts.end(), also_.begin(), also_.end());
  return job;
}

// A job that waited too long in the queue never ran; whoever set that limit himself wants to hear of it.
bool BatchRun::may_try_again(const Error& error) const noexcept {
  switch (error.code) {
    case ErrorCode::kBusy:
    case ErrorCode::kUnavailable:
    case ErrorCode::kShuttingDown:
    case ErrorCode::kUnreachable: return true;
    case ErrorCode::kTimeout: return error.cause.kind == CauseKind::kQueueTimeout && !batch_.options.queue_timeout_ms;
    default: return false;
  }
}

// One file's patience is retry_for. When in all that time no file at all was answered, there is no point in trying the
// others.
asio::awaitable<Result<client::JobResult>> BatchRun::run_patiently(Runner& runner, const FileOutcome& file,
                                                                   const client::Job& job) {
  std::optional<Clock::time_point> first_refusal;
  for (milliseconds pause = kPauseMin;; pause = std::min(2 * pause, kPauseMax)) {
    if (!stopped_.empty()) co_return cancelled();
    auto result = co_await run_once(runner, file, job);
    if (result || !may_try_again(result.error()) || !stopped_.empty()) {
      last_answer_ = Clock::now();
      co_return result;
    }
    const Error& error = result.error();
    const auto now = Clock::now();
    if (error.code == ErrorCode::kBusy || error.code == ErrorCode::kTimeout) last_answer_ = now;
    if (!first_refusal) first_refusal = now;
    if (now - *first_refusal >= batch_.retry_for) {
      if (last_answer_ < *first_refusal) stop(to_string(error), exit_code_of(error.code));
      co_return result;
    }
    runner.file.reset();
    runner.pause.expires_after(std::max(pause, milliseconds(error.retry_after_ms)));
    boost::system::error_code ignored;
    co_await runner.pause.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
}

asio::awaitable<Result<client::JobResult>> BatchRun::run_once(Runner& runner, const FileOutcome& file,
                                                              client::Job job) {
  auto output = ReplacedFile::open(file.output);
  if (!output) co_return output.error();
  if (!*output) co_return usage_error(fmt::format("{} is no regular file", file.output), "to");
  runner.file = std::move(*output);
  job.output_file = std::make_shared<unique_fd>(::fcntl(runner.file->fd(), F_DUPFD_CLOEXEC, 0));
  if (!*job.output_file) co_return system_error("fcntl(F_DUPFD_CLOEXEC)", file.output, errno);
  if (style_ == ProgressStyle::kBar) {
    job.on_progress = [this, &runner](const wire::Progress& progress) {  // on the client's thread, before the outcome
      asio::post(io_, [&runner, progress] {
        if (runner.running) runner.running->progress = progress;
      });
    };
  }
  co_return co_await client_.async_run(std::move(job),
                                       asio::bind_cancellation_slot(runner.cancel.slot(), asio::use_awaitable));
}

// The number of bytes written. Several parts become files in a directory.
Result<std::uint64_t> BatchRun::store(Runner& runner, const BatchInput& input, const FileOutcome& file,
                                      std::vector<client::ResultPart>& parts) {
  std::uint64_t bytes = 0;
  for (const client::ResultPart& part : parts) bytes += part.elsewhere_bytes().value_or(part.bytes().size());
  if (parts.size() == 1 && parts.front().elsewhere_bytes()) {
    if (auto replaced = runner.file->replace(); !replaced) return replaced.error();
    return bytes;
  }
  if (parts.size() == 1) {
    if (auto written = write_output(file.output, parts); !written) return written.error();
    return bytes;
  }
  if (parts.empty()) return bytes;
  const std::string directory = output_directory(batch_.to, input);
  if (directory != file.output && !outputs_.claim(directory)) {
    return usage_error(fmt::format("{} is the output of another input of this run", directory), "to");
  }
  std::error_code failure;
  fs::create_directories(directory, failure);
  if (failure) return system_error("create", directory, failure.value());
  if (const auto in_file = parts.front().elsewhere_bytes()) {
    auto first = part_in_file(*runner.file, parts.front().name(), *in_file);
    if (!first) return first.error();
    parts.front() = std::move(*first);
  }
  if (auto written = write_output(directory, parts); !written) return written.error();
  return bytes;
}

// ---- The whole

asio::awaitable<void> BatchRun::watch_signals() {
  boost::system::error_code done;
  if (runners_left_ == 0) co_return;
  co_await signals_.async_wait(asio::redirect_error(asio::use_awaitable, done));
  if (done) co_return;
  stop("interrupted", kCancelled);
  if (runners_left_ == 0) co_return;
  co_await signals_.async_wait(asio::redirect_error(asio::use_awaitable, done));
  if (!done) leave();
}

asio::awaitable<void> BatchRun::show() {
  const bool bar = style_ == ProgressStyle::kBar;
  const milliseconds period = bar ? kRedrawPeriod : kLinePeriod;
  redraw_.expires_after(bar ? kPatience : kLinePeriod);
  while (style_ != ProgressStyle::kNone && runners_left_ > 0) {
    boost::system::error_code ended;
    co_await redraw_.async_wait(asio::redirect_error(asio::use_awaitable, ended));
    if (runners_left_ == 0) break;
    report_.show(long_running());
    redraw_.expires_after(period);
  }
}

// Those whose line has time to be read.
std::vector<RunningFile> BatchRun::long_running() const {
  std::vector<RunningFile> files;
  for (const Runner& runner : runners_) {
    if (!runner.running || since(runner.began) < kPatience) continue;
    files.push_back(*runner.running);
    files.back().running = since(runner.began);
  }
  return files;
}

// Takes nothing new, and cancels what runs.
void BatchRun::stop(std::string why, int exit_code) {
  if (!stopped_.empty()) return;
  stopped_ = std::move(why);
  exit_code_ = exit_code;
  inputs_.stop();
  for (Runner& runner : runners_) {
    runner.cancel.emit(asio::cancellation_type::terminal);
    runner.pause.cancel();
  }
}

void BatchRun::leave() {
  report_.erase();
  for (Runner& runner : runners_) runner.file.reset();
  std::_Exit(kCancelled);
}

}  // namespace quern::cli
