#include "client/cli/run.h"

#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/json/serialize.hpp>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <utility>

#include "client/cli/arguments.h"
#include "client/cli/exit_code.h"
#include "client/cli/files.h"
#include "client/cli/job_progress.h"
#include "client/cli/kinds.h"
#include "client/cli/result_format.h"
#include "client/cli/streamed_output.h"
#include "client/cli/terminal.h"

namespace quern::cli {
namespace {

namespace asio = boost::asio;

// One job, the signals that end it, and what is shown meanwhile; all on one loop.
class OneJob {
 public:
  // `file`: what becomes the result's first part, or null. `streamed`: where it goes as it is made, or null.
  OneJob(client::Client& client, ProgressStyle style, std::unique_ptr<ReplacedFile>& file, StreamedOutput* streamed)
      : client_(client), file_(file), streamed_(streamed), style_(style), progress_(io_.get_executor(), style) {}

  Result<client::JobResult> run(client::Job job);

 private:
  asio::awaitable<void> cancel_on_signal();
  [[noreturn]] void leave();

  client::Client& client_;
  std::unique_ptr<ReplacedFile>& file_;
  StreamedOutput* streamed_;
  asio::io_context io_;
  asio::signal_set signals_{io_, SIGINT, SIGTERM};
  asio::cancellation_signal cancel_;
  ProgressStyle style_;
  JobProgress progress_;
  Result<client::JobResult> outcome_{Error{}};
  bool ended_ = false;  // and that is its outcome
};

Result<client::JobResult> OneJob::run(client::Job job) {
  if (style_ != ProgressStyle::kNone) {
    job.on_progress = [this](const wire::Progress& progress) {  // on the client's thread
      asio::post(io_, [this, progress] { progress_.note(progress); });
    };
  }
  if (streamed_ != nullptr) {
    job.on_bytes = [this](std::span<const std::byte> piece) {  // there too: nothing else waits for that thread
      if (streamed_->write(piece)) return;
      asio::post(io_, [this] { cancel_.emit(asio::cancellation_type::terminal); });
    };
  }
  const auto note = [this](Result<client::JobResult> result) {
    outcome_ = std::move(result);
    ended_ = true;
    signals_.cancel();
    progress_.finish();
  };
  client_.async_run(std::move(job),
                    asio::bind_cancellation_slot(cancel_.slot(), asio::bind_executor(io_.get_executor(), note)));
  asio::co_spawn(io_, cancel_on_signal(), asio::detached);
  asio::co_spawn(io_, progress_.show(), asio::detached);
  io_.run();
  return std::move(outcome_);
}

// The first signal cancels the job properly: the server stops it, and we report its answer. The second
// one means now. Looks whether it has ended before each wait, which nothing would end otherwise.
asio::awaitable<void> OneJob::cancel_on_signal() {
  boost::system::error_code done;
  if (ended_) co_return;
  co_await signals_.async_wait(asio::redirect_error(asio::use_awaitable, done));
  if (done) co_return;
  cancel_.emit(asio::cancellation_type::terminal);
  if (ended_) co_return;
  co_await signals_.async_wait(asio::redirect_error(asio::use_awaitable, done));
  if (!done) leave();
}

// Nothing is left behind, on the terminal or beside the output.
void OneJob::leave() {
  progress_.finish();
  file_.reset();
  std::_Exit(kCancelled);
}

Result<client::Job> make_job(const RunArguments& run) {
  client::Job job{.kind = run.kind, .params_json = boost::json::serialize(run.params), .options = run.options};
  for (const std::string& input : run.inputs) {
    auto part = read_input(input);
    if (!part) return part.error();
    job.parts.push_back(std::move(*part));
  }
  return job;
}

// The shared buffers of these names, held until the job is done.
Result<std::vector<client::SharedBuffer>> attach(client::Client& client, const std::vector<std::string>& names,
                                                 client::Job& job) {
  std::vector<client::SharedBuffer> buffers;
  for (const std::string& name : names) {
    auto buffer = client.attach_shared(name);
    if (!buffer) return buffer.error();
    job.options.shared_buffers.push_back(buffer->id());
    buffers.push_back(std::move(*buffer));
  }
  return buffers;
}

bool is_directory(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::is_directory(path, ignored);
}

// The worker writes straight into the output, if that is a file.
Result<std::unique_ptr<ReplacedFile>> give_output_file(const std::string& output, client::Job& job) {
  if (output == "-" || is_directory(output)) return std::unique_ptr<ReplacedFile>();
  auto file = ReplacedFile::open(output);
  if (!file || !*file) return file;
  job.output_file = std::make_shared<unique_fd>(::fcntl((*file)->fd(), F_DUPFD_CLOEXEC, 0));
  if (!*job.output_file) return system_error("fcntl(F_DUPFD_CLOEXEC)", output, errno);
  return file;
}

Result<void> run_job(client::Client& client, const RunArguments& run) {
  auto job = make_job(run);
  if (!job) return job.error();
  const auto buffers = attach(client, run.shared, *job);
  if (!buffers) return buffers.error();
  auto file = give_output_file(run.output, *job);
  if (!file) return file.error();
  std::optional<StreamedOutput> streamed;
  if (run.stream) streamed.emplace();
  const bool can_draw = can_redraw(STDERR_FILENO) && !(streamed && streamed->on_terminal());
  const auto result = OneJob(client, progress_style(run.progress, can_draw), *file, streamed ? &*streamed : nullptr)
                          .run(std::move(*job));
  if (streamed && !streamed->end()) return streamed->end();
  if (!result) return result.error();
  const bool written = result->parts.size() == 1 && result->parts.front().elsewhere_bytes();
  if (written) return streamed ? Result<void>() : (*file)->replace();
  return write_output(run.output, result->parts);
}

}  // namespace

int report(const Error& error) {
  fmt::print(stderr, "quern: {}\n", printable(to_string(error)));
  return exit_code_of(error.code);
}

int run_command(client::Client& client, const std::vector<std::string>& arguments) {
  if (arguments.empty() || arguments.front() == "--help" || arguments.front() == "-h") {
    fmt::print(arguments.empty() ? stderr : stdout, "{}\n{}\n", kRunHelp, kExitCodesHelp);
    return arguments.empty() ? kUsage : kOk;
  }
  const auto document = client.kinds();
  if (!document) return report(document.error());
  const auto kinds = KindTable::parse(*document);
  if (!kinds) return report(kinds.error());
  auto run = parse_run(*kinds, arguments, ::isatty(STDIN_FILENO) == 0);
  if (!run) return report(run.error());
  if (run->help) {
    if (run->kind.empty()) {
      fmt::print("{}\n{}\n", kRunHelp, kExitCodesHelp);
    } else {
      KindTable::print_kind(*kinds->find(run->kind));
    }
    return kOk;
  }
  settle_formats(*kinds->find(run->kind), run->params, is_directory(run->output) ? "" : run->output);
  const auto done = run_job(client, *run);
  return done ? kOk : report(done.error());
}

}  // namespace quern::cli
