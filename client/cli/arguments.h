// The command line of `quern run`: job_arguments.h, and these.
//
//     quern run [OPTION ...] KIND [--PARAM VALUE | OPTION | INPUT ...] [-o OUTPUT]
#pragma once

#include <string>
#include <vector>

#include "client/cli/job_arguments.h"
#include "client/cli/job_progress.h"

namespace quern::cli {

struct RunArguments : JobArguments {  // an input is a file; "-" is standard input
  std::string output = "-";
  bool stream = false;                // to standard output, as the result is made
  std::vector<std::string> shared{};  // names of shared buffers
  ProgressWish progress = ProgressWish::kOnTerminal;
};

// `words`: what follows `run`. `piped`: standard input is not a terminal, so that a kind that takes an
// input, but needs none, gets it.
[[nodiscard]] Result<RunArguments> parse_run(const KindTable& kinds, const std::vector<std::string>& words, bool piped);

// --progress and --no-progress; false when the option is neither.
[[nodiscard]] bool take_progress_wish(const Option& option, ProgressWish& wish);

}  // namespace quern::cli
