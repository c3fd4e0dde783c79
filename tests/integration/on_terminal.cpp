#include "tests/integration/on_terminal.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <stdexcept>

namespace quern::test {

OnTerminal::OnTerminal(const Server& server, const std::vector<std::string>& arguments, const char* term) {
  std::vector<std::string> command{QUERN, "--runtime-dir", server.directory()};
  command.insert(command.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  argv.reserve(command.size() + 1);
  for (std::string& word : command) argv.push_back(word.data());
  argv.push_back(nullptr);
  const winsize size{.ws_row = 20, .ws_col = 100, .ws_xpixel = 0, .ws_ypixel = 0};
  pid_ = ::forkpty(&terminal_, nullptr, nullptr, &size);
  if (pid_ > 0) (void)::fcntl(terminal_, F_SETFD, FD_CLOEXEC);  // a quernd that is started later would hold it, too
  if (pid_ != 0) return;
  ::setenv("TERM", term, 1);
  ::execv(argv[0], argv.data());
  ::_exit(127);
}

OnTerminal::~OnTerminal() {
  ::close(terminal_);
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  (void)::waitpid(pid_, nullptr, 0);
}

bool OnTerminal::read() {
  pollfd ready{.fd = terminal_, .events = POLLIN, .revents = 0};
  char buffer[4096];
  while (::poll(&ready, 1, 0) == 1) {
    const ssize_t n = ::read(terminal_, buffer, sizeof buffer);
    if (n <= 0) return false;  // EIO: nobody has the other side any more
    seen_.append(buffer, static_cast<std::size_t>(n));
  }
  return true;
}

bool OnTerminal::shows(std::string_view word) {
  (void)eventually([&] { return !read() || seen_.find(word) != std::string::npos; });
  return seen_.find(word) != std::string::npos;
}

void OnTerminal::type(char key) const { EXPECT_EQ(::write(terminal_, &key, 1), 1); }

void OnTerminal::resize(unsigned short rows, unsigned short columns) const {
  const winsize size{.ws_row = rows, .ws_col = columns, .ws_xpixel = 0, .ws_ypixel = 0};
  EXPECT_EQ(::ioctl(terminal_, TIOCSWINSZ, &size), 0);
}

void OnTerminal::signal(int number) const {
  if (pid_ <= 0) throw std::logic_error("there is no command on the terminal");
  ::kill(pid_, number);
}

int OnTerminal::exit_code() {
  int status = -1;
  EXPECT_TRUE(eventually([&] {
    (void)read();  // or it waits for us
    return ::waitpid(pid_, &status, WNOHANG) == pid_;
  }));
  (void)read();
  pid_ = -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace quern::test
