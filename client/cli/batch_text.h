// What `quern batch` says, as text and as JSON. Pure.
#pragma once

#include <boost/json/object.hpp>
#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "client/cli/terminal.h"
#include "common/error.h"
#include "ipc/wire.h"

namespace quern::cli {

enum class FileEnd : std::uint8_t { kDone, kSkipped, kFailed, kCancelled };

// What came of one input.
struct FileOutcome {
  std::string input{};
  std::string output{};  // empty: none
  FileEnd end = FileEnd::kDone;
  Error error{};  // kFailed's and kCancelled's
  std::uint64_t input_bytes = 0;
  std::uint64_t output_bytes = 0;
  std::chrono::milliseconds wall{0};  // from its turn to its end, all tries included
};

struct BatchTotals {
  std::uint64_t done = 0;
  std::uint64_t skipped = 0;
  std::uint64_t failed = 0;
  std::uint64_t cancelled = 0;
  std::uint64_t input_bytes = 0;
  std::uint64_t output_bytes = 0;

  void add(const FileOutcome& outcome);
  [[nodiscard]] std::uint64_t ended() const noexcept { return done + skipped + failed + cancelled; }
};

// What is known of the whole at one moment.
struct BatchView {
  BatchTotals totals{};
  std::uint64_t known = 0;  // inputs, at least
  bool all_known = false;
  std::chrono::milliseconds elapsed{0};
};

struct RunningFile {
  std::string input{};
  std::chrono::milliseconds running{0};
  wire::Progress progress{};
};

// The overall bar, and below it a line for each of `running`, as many as leave half of the terminal to what stands
// above:
//     " 43% [=======>        ] 2150/5000  3 failed  41.2/s  1m09s left"
//     "| 2150 of 2154 so far  3 failed  41.2/s  52.1s"
//     "  photos/large.png  45% 45/100  encoding"
[[nodiscard]] std::vector<std::string> batch_lines(const BatchView& view, std::span<const RunningFile> running,
                                                   TerminalSize size);
// The overall line without a bar, for a log.
[[nodiscard]] std::string batch_log_line(const BatchView& view);

// "photos/a.jpg: bad_input: ...", "photos/a.jpg -> thumbs/a.webp, 2.1 MiB -> 41.0 KiB, 120 ms"; printable.
[[nodiscard]] std::string outcome_text(const FileOutcome& outcome);
// "4997 done, 3 failed, in 2m01s; 10.2 GiB read, 201.0 MiB written".
[[nodiscard]] std::string summary_text(const BatchView& view);

[[nodiscard]] boost::json::object outcome_json(const FileOutcome& outcome);
// `stopped`: why there was more to do, or empty.
[[nodiscard]] boost::json::object summary_json(const BatchView& view, std::string_view stopped);

}  // namespace quern::cli
