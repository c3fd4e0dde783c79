// The command line of `quern run`, understood with the server's description of the kind.
//
//     quern run [JOB OPTION ...] KIND [--PARAM VALUE | JOB OPTION | INPUT ...] [-o OUTPUT]
//
// Before KIND, an option is the job's. After KIND, a name that is one of the kind's parameters is that
// parameter, and only otherwise a job option: neither can hide the other, whatever parameters a kind has.
#pragma once

#include <boost/json/object.hpp>
#include <string>
#include <vector>

#include "client/cli/kinds.h"
#include "common/error.h"
#include "ipc/wire.h"

namespace quern::cli {

struct RunArguments {
  std::string kind{};
  boost::json::object params{};
  std::vector<std::string> inputs{};  // files; "-" is standard input
  std::string output = "-";
  wire::JobOptions options{};
  bool progress = false;
  bool help = false;  // with an empty kind: of `run` itself
};

// `words`: what follows `run`. `piped`: standard input is not a terminal, so that a kind that takes an
// input, but needs none, gets it.
[[nodiscard]] Result<RunArguments> parse_run(const KindTable& kinds, const std::vector<std::string>& words, bool piped);

}  // namespace quern::cli
