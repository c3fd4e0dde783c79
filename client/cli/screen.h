// The terminal as a page that is drawn over and over: the alternate screen, no cursor, keys as they are
// pressed. Everything is as before when a Screen is gone, also after a signal.
//
// The sequences are xterm's ("XTerm Control Sequences", ctlseqs: DECSET 1049 and 25, CUP, ED, EL), which every
// terminal in use understands. One a process; blocks SIGINT, SIGTERM and SIGWINCH from its beginning.
#pragma once

#include <termios.h>

#include <chrono>
#include <string>
#include <vector>

#include "client/cli/terminal.h"
#include "common/unique_fd.h"

namespace quern::cli {

class Screen {
 public:
  // Whether standard output is a terminal to draw on.
  [[nodiscard]] static bool possible() noexcept;

  Screen();
  ~Screen();
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;

  [[nodiscard]] TerminalSize size() const noexcept;
  void draw(const std::vector<std::string>& lines) const;
  // False: the user pressed q, or a signal asks us to end. True after the interval, or when the size changed.
  [[nodiscard]] bool wait(std::chrono::milliseconds interval) const;

 private:
  termios before_{};
  bool has_keys_ = false;
  unique_fd signals_;
};

}  // namespace quern::cli
