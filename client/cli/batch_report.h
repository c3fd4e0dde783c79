// Where what `quern batch` says goes: for people to standard error, live on a terminal; for programs to standard
// output.
#pragma once

#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "client/cli/batch_text.h"
#include "client/cli/job_progress.h"
#include "client/cli/live_lines.h"

namespace quern::cli {

class BatchReport {
 public:
  struct Options {
    ProgressStyle style = ProgressStyle::kNone;
    bool json = false;
    bool verbose = false;
    bool list_failures = false;  // at the end; otherwise each is said as it happens
  };
  explicit BatchReport(const Options& options) noexcept;

  void file_ended(const FileOutcome& outcome);
  void know_of(std::uint64_t inputs, bool all) noexcept;
  // A picture of now; on a terminal it is redrawn, otherwise a line, unless it is what the last one said.
  void show(std::span<const RunningFile> running);
  void erase() { lines_.erase(); }
  // The failures, and the totals. `stopped`: why there was more to do, or empty.
  void summarize(std::string_view stopped);

  [[nodiscard]] const BatchTotals& totals() const noexcept { return view_.totals; }
  // Nobody reads standard output any more.
  [[nodiscard]] bool output_broken() const noexcept { return output_broken_; }

 private:
  void say(const std::string& line);
  void write_json(const boost::json::object& object);
  [[nodiscard]] const BatchView& view_of_now() noexcept;

  Options options_;
  BatchView view_{};
  std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();
  std::vector<std::string> failures_{};  // the first ones
  std::string logged_{};
  bool output_broken_ = false;
  LiveLines lines_;
};

}  // namespace quern::cli
