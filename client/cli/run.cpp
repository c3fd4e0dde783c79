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
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/json/serialize.hpp>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <optional>
#include <utility>

#include "client/cli/arguments.h"
#include "client/cli/exit_code.h"
#include "client/cli/files.h"
#include "client/cli/kinds.h"

namespace quern::cli {
namespace {

namespace asio = boost::asio;

void show_progress(const wire::Progress& progress) {
  if (progress.total > 0) {
    const double percent = 100.0 * static_cast<double>(progress.done) / static_cast<double>(progress.total);
    fmt::print(stderr, "\r{:3.0f}% ({}/{})", percent, progress.done, progress.total);
  } else {
    fmt::print(stderr, "\r{}", progress.done);
  }
  (void)std::fflush(stderr);
}

// The job's end, or nothing yet.
using Outcome = std::optional<Result<client::JobResult>>;

// The first signal cancels the job properly: the server stops it, and we report its answer. The second
// one means now. Looks at the outcome before each wait, which nothing would end otherwise.
asio::awaitable<void> cancel_on_signal(asio::signal_set& signals, asio::cancellation_signal& cancel,
                                       const Outcome& outcome) {
  boost::system::error_code done;
  if (outcome) co_return;
  co_await signals.async_wait(asio::redirect_error(asio::use_awaitable, done));
  if (done) co_return;
  cancel.emit(asio::cancellation_type::terminal);
  if (outcome) co_return;
  co_await signals.async_wait(asio::redirect_error(asio::use_awaitable, done));
  if (!done) std::_Exit(kCancelled);
}

Result<client::JobResult> run_to_its_end(client::Client& client, client::Job job) {
  asio::io_context io;
  asio::signal_set signals(io, SIGINT, SIGTERM);
  asio::cancellation_signal cancel;
  Outcome outcome;
  const auto note = [&](Result<client::JobResult> result) {
    outcome.emplace(std::move(result));
    signals.cancel();
  };
  client.async_run(std::move(job),
                   asio::bind_cancellation_slot(cancel.slot(), asio::bind_executor(io.get_executor(), note)));
  asio::co_spawn(io, cancel_on_signal(signals, cancel, outcome), asio::detached);
  io.run();
  return std::move(*outcome);
}

Result<client::Job> make_job(const RunArguments& run) {
  client::Job job{.kind = run.kind, .params_json = boost::json::serialize(run.params), .options = run.options};
  for (const std::string& input : run.inputs) {
    auto part = read_input(input);
    if (!part) return part.error();
    job.parts.push_back(std::move(*part));
  }
  if (run.progress) job.on_progress = show_progress;
  return job;
}

// The worker writes straight into the output, if that is a file.
Result<std::unique_ptr<ReplacedFile>> give_output_file(const std::string& output, client::Job& job) {
  std::error_code ignored;
  if (output == "-" || std::filesystem::is_directory(output, ignored)) return std::unique_ptr<ReplacedFile>();
  auto file = ReplacedFile::open(output);
  if (!file || !*file) return file;
  job.output_file = std::make_shared<unique_fd>(::fcntl((*file)->fd(), F_DUPFD_CLOEXEC, 0));
  if (!*job.output_file) return system_error("fcntl(F_DUPFD_CLOEXEC)", output, errno);
  return file;
}

Result<void> run_job(client::Client& client, const RunArguments& run) {
  auto job = make_job(run);
  if (!job) return job.error();
  const auto file = give_output_file(run.output, *job);
  if (!file) return file.error();
  const auto result = run_to_its_end(client, std::move(*job));
  if (run.progress) fmt::print(stderr, "\n");
  if (!result) return result.error();
  const bool written = result->parts.size() == 1 && result->parts.front().elsewhere_bytes();
  return written ? (*file)->replace() : write_output(run.output, result->parts);
}

}  // namespace

int report(const Error& error) {
  fmt::print(stderr, "quern: {}\n", to_string(error));
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
  const auto run = parse_run(*kinds, arguments, ::isatty(STDIN_FILENO) == 0);
  if (!run) return report(run.error());
  if (run->help) {
    if (run->kind.empty()) {
      fmt::print("{}\n{}\n", kRunHelp, kExitCodesHelp);
    } else {
      KindTable::print_kind(*kinds->find(run->kind));
    }
    return kOk;
  }
  const auto done = run_job(client, *run);
  return done ? kOk : report(done.error());
}

}  // namespace quern::cli
