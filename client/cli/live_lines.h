// A few lines at the bottom of what a terminal shows, drawn over and over, and gone at the end as if they had never
// been there. What is printed meanwhile goes above them. (Screen takes the whole terminal.)
//
// The sequences are xterm's: CR, CUU, EL, ED. Every draw is one write, so that lines do not flicker. Not for
// concurrent use.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace quern::cli {

class LiveLines {
 public:
  // `fd`: a terminal (can_redraw), which outlives this.
  explicit LiveLines(int fd) noexcept : fd_(fd) {}
  ~LiveLines() { erase(); }
  LiveLines(const LiveLines&) = delete;
  LiveLines& operator=(const LiveLines&) = delete;

  // Printable lines, none wider than columns().
  void draw(std::vector<std::string> lines);
  // Lines of text that stay, each with its newline; printable.
  void print_above(std::string_view text);
  void erase();

  // One column less than the terminal has: a line that fills the last one wraps on some.
  [[nodiscard]] std::size_t columns() const noexcept;
  [[nodiscard]] std::size_t rows() const noexcept;

 private:
  [[nodiscard]] std::string back_to_the_first() const;
  [[nodiscard]] std::string all_lines() const;

  int fd_;
  std::vector<std::string> drawn_;  // what stands there
};

}  // namespace quern::cli
