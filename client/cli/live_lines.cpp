#include "client/cli/live_lines.h"

#include <fmt/format.h>

#include <algorithm>

#include "client/cli/terminal.h"

namespace quern::cli {
namespace {

constexpr std::string_view kClearLine = "\x1b[K";
constexpr std::string_view kClearBelow = "\x1b[J";

}  // namespace

std::size_t LiveLines::columns() const noexcept { return std::max<std::size_t>(terminal_size(fd_).columns, 2) - 1; }

std::size_t LiveLines::rows() const noexcept { return terminal_size(fd_).rows; }

// A window that became narrower since has wrapped what was drawn.
std::string LiveLines::back_to_the_first() const {
  const std::size_t width = columns() + 1;
  std::size_t up = 0;
  for (std::size_t i = 0; i < drawn_.size(); ++i) {
    up += std::max<std::size_t>((drawn_[i] + width - 1) / width, 1);
  }
  return up > 1 ? fmt::format("\r\x1b[{}A", up - 1) : "\r";
}

void LiveLines::draw(const std::vector<std::string>& lines) {
  if (lines.empty()) return erase();
  std::string text = drawn_.empty() ? "\r" : back_to_the_first();
  drawn_.clear();
  for (const std::string& line : lines) {
    text += fmt::format("{}{}{}", drawn_.empty() ? "" : "\r\n", line, kClearLine);
    drawn_.push_back(columns_of(line));
  }
  text += kClearBelow;
  write_terminal(fd_, text);
}

void LiveLines::erase() {
  if (drawn_.empty()) return;
  write_terminal(fd_, back_to_the_first() + std::string(kClearBelow));
  drawn_.clear();
}

}  // namespace quern::cli
