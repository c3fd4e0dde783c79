#include "client/cli/screen.h"

#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>

namespace quern::cli {
namespace {

constexpr std::string_view kEnter = "\x1b[?1049h\x1b[?25l";
constexpr std::string_view kLeave = "\x1b[?25h\x1b[?1049l";
constexpr std::string_view kHome = "\x1b[H";
constexpr std::string_view kClearLine = "\x1b[K";
constexpr std::string_view kClearBelow = "\x1b[J";

void write_all(std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = ::write(STDOUT_FILENO, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return;  // the terminal is gone; the next wait() sees it
    text.remove_prefix(static_cast<std::size_t>(n));
  }
}

}  // namespace

bool Screen::possible() noexcept { return ::isatty(STDOUT_FILENO) != 0; }

Screen::Screen() {
  sigset_t ours;
  ::sigemptyset(&ours);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGWINCH}) ::sigaddset(&ours, signal);
  ::pthread_sigmask(SIG_BLOCK, &ours, nullptr);
  signals_.reset(::signalfd(-1, &ours, SFD_CLOEXEC | SFD_NONBLOCK));
  has_keys_ = ::isatty(STDIN_FILENO) != 0 && ::tcgetattr(STDIN_FILENO, &before_) == 0;
  if (has_keys_) {
    termios keys = before_;
    keys.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
    ::tcsetattr(STDIN_FILENO, TCSANOW, &keys);
  }
  write_all(kEnter);
}

Screen::~Screen() {
  write_all(kLeave);
  if (has_keys_) ::tcsetattr(STDIN_FILENO, TCSANOW, &before_);
}

TerminalSize Screen::size() const noexcept {
  winsize window{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) != 0 || window.ws_row == 0 || window.ws_col == 0) return {24, 80};
  return {window.ws_row, window.ws_col};
}

void Screen::draw(const std::vector<std::string>& lines) const {
  std::string page(kHome);
  for (std::size_t i = 0; i < lines.size(); ++i) {
    if (i > 0) page += "\r\n";
    page += lines[i];
    page += kClearLine;
  }
  page += kClearBelow;
  write_all(page);
}

bool Screen::wait(std::chrono::milliseconds interval) const {
  const auto deadline = std::chrono::steady_clock::now() + interval;
  for (;;) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0) return true;
    pollfd sources[] = {{.fd = signals_.get(), .events = POLLIN, .revents = 0},
                        {.fd = has_keys_ ? STDIN_FILENO : -1, .events = POLLIN, .revents = 0}};
    if (::poll(sources, 2, static_cast<int>(left.count())) < 0 && errno != EINTR) return false;
    signalfd_siginfo signal{};
    if (::read(signals_.get(), &signal, sizeof signal) == sizeof signal) return signal.ssi_signo == SIGWINCH;
    if (sources[1].revents != 0) {
      char key = 0;
      if (::read(STDIN_FILENO, &key, 1) != 1 || key == 'q' || key == 'Q') return false;
    }
  }
}

std::string printable(std::string_view text) {
  std::string plain(text);
  std::ranges::replace_if(
      plain, [](unsigned char c) { return c < ' ' || c == 0x7f; }, '?');
  return plain;
}

}  // namespace quern::cli
