// The command line of `quern batch`: job_arguments.h, and these.
//
//     quern batch [OPTION ...] [KIND] [--PARAM VALUE | OPTION | INPUT ...] --to DIR
//
// Without KIND the first word is an INPUT: one that has a '/' or a wildcard, or that is there and is no kind.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "client/cli/job_arguments.h"
#include "client/cli/job_progress.h"

namespace quern::cli {

inline constexpr const char* kDefaultBatchKind = "image.resize";
inline constexpr std::uint32_t kBatchJobsMax = 256;  // each holds three descriptors, and its input

struct BatchArguments : JobArguments {  // an input is a file, a pattern, or a directory when `recursive`
  std::string to{};
  std::optional<std::string> suffix{};  // of outputs, with its dot
  std::optional<std::string> from{};    // a file of names; "-" is standard input
  std::vector<std::string> also{};      // files that each job gets behind its own
  bool null_separated = false;          // those names
  bool recursive = false;
  bool skip_existing = false;
  bool fail_fast = false;
  bool json = false;
  bool verbose = false;
  std::uint32_t jobs = 0;  // at once
  std::chrono::seconds retry_for{60};
  ProgressWish progress = ProgressWish::kOnTerminal;
};

// `words`: what follows `batch`.
[[nodiscard]] Result<BatchArguments> parse_batch(const KindTable& kinds, const std::vector<std::string>& words);

}  // namespace quern::cli
