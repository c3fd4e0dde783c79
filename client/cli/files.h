// What `quern run` reads and writes.
#pragma once

#include <string>
#include <vector>

#include "client/payload.h"
#include "common/error.h"

namespace quern::cli {

// The file at `path`, or standard input for "-". A large one goes from the page cache into a sealed memfd
// inside the kernel.
[[nodiscard]] Result<client::Part> read_input(const std::string& path);

// `output`: "-" for standard output, an existing directory (each part under its name), or a file, which is
// written beside its place and then renamed over it: a failure leaves what was there.
[[nodiscard]] Result<void> write_output(const std::string& output, const std::vector<client::ResultPart>& parts);

}  // namespace quern::cli
