#include "client/cli/live_lines.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

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
  std::size_t rows = 0;
  for (const std::string& line : drawn_) rows += std::max<std::size_t>((columns_of(line) + width - 1) / width, 1);
  return rows > 1 ? fmt::format("\r\x1b[{}A", rows - 1) : "\r";
}

std::string LiveLines::all_lines() const {
  std::string text;
  for (const std::string& line : drawn_) text += fmt::format("{}{}{}", text.empty() ? "" : "\r\n", line, kClearLine);
  return text;
}

void LiveLines::draw(std::vector<std::string> lines) {
  if (lines.empty()) return erase();
  const std::string back = back_to_the_first();
  drawn_ = std::move(lines);
  write_terminal(fd_, fmt::format("{}{}{}", back, all_lines(), kClearBelow));
}

void LiveLines::print_above(std::string_view text) {
  const std::string clear = drawn_.empty() ? "" : back_to_the_first() + std::string(kClearBelow);
  write_terminal(fd_, fmt::format("{}{}{}", clear, text, all_lines()));
}

void LiveLines::erase() {
  if (drawn_.empty()) return;
  write_terminal(fd_, back_to_the_first() + std::string(kClearBelow));
  drawn_.clear();
}

}  // namespace quern::cli
