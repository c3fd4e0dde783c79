#include "client/cli/terminal.h"

#include <errno.h>
#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "common/utf8.h"

namespace quern::cli {
namespace {

constexpr std::string_view kEllipsis = "...";

// fmt knows which characters are two columns wide: those it does not fill up to two.
std::size_t width_of(std::string_view character) {
  return fmt::formatted_size("{:2}", character) == character.size() ? 2 : 1;
}

bool is_control(std::string_view character) {
  const auto first = static_cast<unsigned char>(character.front());
  const bool c1 = first == 0xc2 && character.size() == 2 && static_cast<unsigned char>(character[1]) < 0xa0;
  return first < 0x20 || first == 0x7f || c1;
}

}  // namespace

bool can_redraw(int fd) noexcept {
  const char* terminal = std::getenv("TERM");
  return ::isatty(fd) != 0 && terminal != nullptr && *terminal != '\0' && std::string_view(terminal) != "dumb";
}

TerminalSize terminal_size(int fd) noexcept {
  winsize window{};
  if (::ioctl(fd, TIOCGWINSZ, &window) != 0 || window.ws_row == 0 || window.ws_col == 0) return {24, 80};
  return {window.ws_row, window.ws_col};
}

void write_terminal(int fd, std::string_view text) noexcept {
  while (!text.empty()) {
    const ssize_t n = ::write(fd, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return;
    text.remove_prefix(static_cast<std::size_t>(n));
  }
}

std::string printable(std::string_view text) {
  std::string plain;
  plain.reserve(text.size());
  while (!text.empty()) {
    const std::size_t bytes = utf8_character(text);
    const std::string_view character = text.substr(0, std::max<std::size_t>(bytes, 1));
    if (bytes == 0 || is_control(character)) {
      plain += '?';
    } else {
      plain += character;
    }
    text.remove_prefix(character.size());
  }
  return plain;
}

std::size_t columns_of(std::string_view text) {
  std::size_t columns = 0;
  while (!text.empty()) {
    const std::size_t bytes = std::max<std::size_t>(utf8_character(text), 1);
    columns += width_of(text.substr(0, bytes));
    text.remove_prefix(bytes);
  }
  return columns;
}

std::string cut_to_columns(std::string_view text, std::size_t columns) {
  if (columns_of(text) <= columns) return std::string(text);
  const std::string_view mark = kEllipsis.substr(0, columns);
  std::size_t kept = 0;
  for (std::size_t used = mark.size(); kept < text.size();) {
    const std::size_t bytes = std::max<std::size_t>(utf8_character(text.substr(kept)), 1);
    used += width_of(text.substr(kept, bytes));
    if (used > columns) break;
    kept += bytes;
  }
  return fmt::format("{}{}", text.substr(0, kept), mark);
}

std::string keep_end(std::string_view text, std::size_t columns) {
  std::size_t left = columns_of(text);
  if (left <= columns) return std::string(text);
  const std::string_view mark = kEllipsis.substr(0, columns);
  while (left + mark.size() > columns) {
    const std::size_t bytes = std::max<std::size_t>(utf8_character(text), 1);
    left -= width_of(text.substr(0, bytes));
    text.remove_prefix(bytes);
  }
  return fmt::format("{}{}", mark, text);
}

}  // namespace quern::cli
