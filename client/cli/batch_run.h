// `quern batch`, running: as many jobs at once as were asked for, each of one file.
//
// Each *runner* is a coroutine that takes the next input, sees it through to its outcome, and takes the next one; they
// all run on one loop, on the caller's thread. What blocks is done elsewhere: waiting for the next name on one thread,
// reading files on a few. So at any time at most a runner's worth of inputs is in memory.
//
// A job is sent again when the server could not take it, or was gone before it answered: the output appears by a rename
// once a job has succeeded, into a file of this try's own, so a job that runs twice does no harm.
//
// It ends when there are no more inputs, or stops before: on a signal, at a failure with fail_fast, when the server is
// not to be had for as long as retry_for. Then what runs is cancelled and waited for. A second signal leaves at once.
// Either way no file is left that is not whole.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/json/object.hpp>
#include <chrono>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "client/cli/batch_arguments.h"
#include "client/cli/batch_inputs.h"
#include "client/cli/batch_outputs.h"
#include "client/cli/batch_report.h"
#include "client/cli/files.h"
#include "client/client.h"

namespace quern::cli {

class BatchRun {
 public:
  // `also`: what each job gets behind its file.
  BatchRun(client::Client& client, const BatchArguments& batch, const boost::json::object& kind, InputSource& inputs,
           std::vector<client::Part> also);
  // Once. Returns the exit code.
  [[nodiscard]] int run();

 private:
  using Clock = std::chrono::steady_clock;
  template <class T>
  using Awaitable = boost::asio::awaitable<T>;

  struct Runner {
    explicit Runner(boost::asio::io_context& io) : pause(io) {}
    boost::asio::steady_timer pause;
    boost::asio::cancellation_signal cancel{};
    std::unique_ptr<ReplacedFile> file{};  // what the job writes into
    std::optional<RunningFile> running{};  // what is shown of it
    Clock::time_point began{};
  };

  // Runners
  [[nodiscard]] Awaitable<void> take_inputs(Runner& runner);
  [[nodiscard]] Awaitable<FileOutcome> see_through(Runner& runner, BatchInput input);
  [[nodiscard]] client::Job job_of(client::Part part, const std::string& output) const;
  [[nodiscard]] Awaitable<Result<client::JobResult>> run_patiently(Runner& runner, const FileOutcome& file,
                                                                   const client::Job& job);
  [[nodiscard]] Awaitable<Result<client::JobResult>> run_once(Runner& runner, const FileOutcome& file, client::Job job);
  [[nodiscard]] Result<std::uint64_t> store(Runner& runner, const BatchInput& input, const FileOutcome& file,
                                            std::vector<client::ResultPart>& parts);
  void note_end(const FileOutcome& outcome);
  [[nodiscard]] bool may_try_again(const Error& error) const noexcept;

  // The whole
  [[nodiscard]] Awaitable<void> watch_signals();
  [[nodiscard]] Awaitable<void> show();
  [[nodiscard]] std::vector<RunningFile> long_running() const;
  void stop(std::string why, int exit_code);
  [[noreturn]] void leave();

  client::Client& client_;
  const BatchArguments& batch_;
  const boost::json::object& kind_;
  InputSource& inputs_;
  std::vector<client::Part> also_;
  std::optional<std::string> suffix_;  // of every output; without it, as each input says
  ProgressStyle style_;
  BatchReport report_;
  ClaimedOutputs outputs_{};

  boost::asio::io_context io_{1};
  boost::asio::signal_set signals_;
  boost::asio::steady_timer redraw_;
  std::deque<Runner> runners_{};
  std::uint32_t runners_left_ = 0;
  Clock::time_point last_answer_{};    // from a server that does its work
  std::string stopped_{};              // why, once it is
  int exit_code_ = 0;                  // when stopped
  boost::asio::thread_pool names_{1};  // last: their threads end before what they use
  boost::asio::thread_pool readers_;
};

}  // namespace quern::cli
