// What `quern run` reads and writes.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "client/payload.h"
#include "common/error.h"
#include "common/unique_fd.h"

namespace quern::cli {

// The file at `path`, or standard input for "-". A large one goes from the page cache into a sealed memfd
// inside the kernel.
[[nodiscard]] Result<client::Part> read_input(const std::string& path);

// A new file beside the one it is going to replace; gone again unless it does.
class ReplacedFile {
 public:
  // Null when `path` is there and is no regular file: /dev/null, a pipe. The new file has the old one's mode. A
  // directory that is missing or closed to us is kInvalidArgument.
  [[nodiscard]] static Result<std::unique_ptr<ReplacedFile>> open(const std::string& path);
  ReplacedFile(const ReplacedFile&) = delete;
  ReplacedFile& operator=(const ReplacedFile&) = delete;
  ~ReplacedFile();

  [[nodiscard]] int fd() const noexcept { return fd_.get(); }
  [[nodiscard]] Result<void> replace();

 private:
  ReplacedFile(std::string target, std::string temporary, unique_fd fd) noexcept;

  std::string target_;
  std::string temporary_;  // empty once it has replaced
  unique_fd fd_;
};

// `output`: "-" for standard output, an existing directory (each part under its name), or a file, which is
// written beside its place and then renamed over it: a failure leaves what was there. Several parts go to
// standard output only as text: nobody could take pictures apart again that stand end to end.
[[nodiscard]] Result<void> write_output(const std::string& output, const std::vector<client::ResultPart>& parts);

// All of it, to a descriptor that blocks. `name` is for the error.
[[nodiscard]] Result<void> write_all(int fd, std::span<const std::byte> bytes, const std::string& name);
// Whether a terminal may be shown it, as far as its beginning tells.
[[nodiscard]] bool is_text(std::span<const std::byte> bytes);
[[nodiscard]] Error binary_on_terminal();

}  // namespace quern::cli
