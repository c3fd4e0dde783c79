// `quern run`: one job from the shell. arguments.h says how the command line is understood.
#pragma once

#include <string>
#include <vector>

#include "client/client.h"

namespace quern::cli {

inline constexpr const char* kRunHelp =
    "Usage: quern run [JOB OPTION ...] KIND [--PARAM VALUE ...] [INPUT ...] [-o OUTPUT]\n"
    "\n"
    "Runs one job and waits for it. INPUT is a file, or - for standard input, which is also the default\n"
    "when the kind takes an input. OUTPUT is a file, - for standard output (the default), or an existing\n"
    "directory when the result has several parts. A file is replaced only once the job has succeeded. Where\n"
    "no --format is given, its suffix says the format: -o out.webp.\n"
    "Ctrl-C cancels the job and waits for its end; pressed again, it does not wait.\n"
    "\n"
    "A parameter is written --name value or --name=value; a yes/no one also --name or --no-name; a list as\n"
    "JSON, or @FILE for a file that holds the JSON.\n"
    "`quern run KIND --help` shows the kind's own. Every job has these options, before KIND, or after it\n"
    "when the kind has no parameter of that name:\n"
    "  --priority N            0 to 9, 9 first (default 5)\n"
    "  --attempts N            tries when its worker dies, 1 to 10\n"
    "  --retry-on CAUSE,...    after which deaths: crash, out_of_memory, run_timeout, sandbox_violation; none\n"
    "  --queue-timeout-ms MS   how long it may wait for a worker\n"
    "  --run-timeout-ms MS     how long it may run\n"
    "  --deadline-ms MS        how long from acceptance to answer\n"
    "  --no-wait               fail with busy when the queue is full\n"
    "  --progress              show its progress on standard error; on a terminal that is the default\n"
    "  --no-progress           show none\n"
    "  -o, --output OUTPUT     where the result goes\n"
    "  --stream                write the result to standard output while it is made\n"
    "  --shared NAME           give it the shared buffer of this name (`quern buffers`); may be repeated\n"
    "  --                      what follows is input files\n";

// `arguments`: what follows `run`. Returns the exit code.
int run_command(client::Client& client, const std::vector<std::string>& arguments);

}  // namespace quern::cli
