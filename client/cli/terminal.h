// A terminal as something to write on: whether it is one, how large, and what text may reach it.
//
// Nothing here colours anything, so NO_COLOR has nothing to turn off. Thread-safety: free functions, no state.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace quern::cli {

struct TerminalSize {
  std::size_t rows = SIZE_MAX;
  std::size_t columns = SIZE_MAX;
};

// Whether lines on `fd` can be drawn again: it is a terminal, and not one that says it understands nothing (TERM=dumb).
[[nodiscard]] bool can_redraw(int fd) noexcept;
// Asked anew each time, so that a changed window needs no signal. 24 x 80 when it does not say.
[[nodiscard]] TerminalSize terminal_size(int fd) noexcept;
// All of it, or what comes before the terminal is gone.
void write_terminal(int fd, std::string_view text) noexcept;

// `text` as UTF-8 without what a terminal would obey: each control character (C0, DEL and C1), and each byte that is no
// UTF-8, is a '?'.
[[nodiscard]] std::string printable(std::string_view text);

// How many columns printable text takes. Combining characters count as one, so this may be more than the terminal's
// own count, and never less.
[[nodiscard]] std::size_t columns_of(std::string_view text);
// As much of the beginning of printable text as has room in `columns`; what is cut ends in "...".
[[nodiscard]] std::string cut_to_columns(std::string_view text, std::size_t columns);
// As cut_to_columns, but keeps the end: of a path that is the file's name.
[[nodiscard]] std::string keep_end(std::string_view text, std::size_t columns);

}  // namespace quern::cli
