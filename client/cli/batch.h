// `quern batch`: one job for each of many files. batch_arguments.h says how the command line is understood, batch_run.h
// how it runs.
#pragma once

#include <string>
#include <vector>

#include "client/client.h"

namespace quern::cli {

inline constexpr const char* kBatchHelp =
    "Usage: quern batch [OPTION ...] [KIND] [--PARAM VALUE ...] INPUT ... --to DIR\n"
    "\n"
    "Runs one job for each INPUT and writes its result to DIR/NAME, where NAME is the input's, with the suffix\n"
    "of the result's format where the parameters say it, or else its own. An output appears whole or not at all.\n"
    "A file that fails stops no other. INPUT is a file, or a pattern in quotes: 'photos/*.jpg'. Without KIND it is\n"
    "image.resize. Ctrl-C takes no new file, cancels what runs, and says what was done; pressed again, it\n"
    "does not wait.\n"
    "\n"
    "  --to DIR                where the results go; made when it is missing\n"
    "  -r, --recursive         take the files in directories, and keep their folders below DIR\n"
    "  --from FILE             read more inputs' names from FILE, one a line; - is standard input\n"
    "  -0, --null              those names end in a NUL byte, as `find -print0` writes them\n"
    "  --also FILE             give it to each job as a further input, such as a watermark; may be repeated\n"
    "  --suffix SUFFIX         the end of outputs' names, such as .webp or -small.jpg\n"
    "  --skip-existing         leave out inputs whose output is there and not older\n"
    "  --jobs N                jobs at once, 1 to 256 (default 2 a core)\n"
    "  --retry-for SECONDS     how long a server that is busy, unavailable or away is tried again (default 60)\n"
    "  --fail-fast             stop at the first failure\n"
    "  --json                  one JSON object a file on standard output, and a summary\n"
    "  -v, --verbose           name each file that is done\n"
    "  --progress              show progress on standard error; on a terminal that is the default\n"
    "  --no-progress           show none\n"
    "\n"
    "`quern batch KIND --help` shows the kind's own parameters, `quern run --help` the options that every job has.\n"
    "Exit code 0 when all is done, 3 when a file failed, 8 when interrupted; 4 or 5 when there was no server to do "
    "it.\n";

// `arguments`: what follows `batch`. Returns the exit code.
int batch_command(client::Client& client, const std::vector<std::string>& arguments);

}  // namespace quern::cli
