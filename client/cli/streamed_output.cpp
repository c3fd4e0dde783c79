#include "client/cli/streamed_output.h"

#include <unistd.h>

#include "client/cli/files.h"

namespace quern::cli {
namespace {

constexpr const char* kName = "standard output";

}  // namespace

StreamedOutput::StreamedOutput() : terminal_(::isatty(STDOUT_FILENO) != 0) {}

bool StreamedOutput::write(std::span<const std::byte> piece) {
  if (!written_ || piece.empty()) return written_.has_value();
  written_ = terminal_ && !is_text(piece) ? Result<void>(binary_on_terminal()) : write_all(STDOUT_FILENO, piece, kName);
  last_ = piece.back();
  return written_.has_value();
}

const Result<void>& StreamedOutput::end() {
  const auto newline = std::as_bytes(std::span("\n", 1));
  if (terminal_ && written_ && last_ != newline.front()) written_ = write_all(STDOUT_FILENO, newline, kName);
  return written_;
}

}  // namespace quern::cli
