#include "bench/peer_process.h"

#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <stdexcept>

namespace quern::bench {

PeerProcess::PeerProcess(const std::function<void(int socket)>& body) {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) throw std::runtime_error("socketpair");
  socket_ = unique_fd(ends[0]);
  const unique_fd theirs(ends[1]);
  pid_ = ::fork();
  if (pid_ < 0) throw std::runtime_error("fork");
  if (pid_ > 0) return;
  socket_.reset();
  body(theirs.get());
  ::_exit(0);
}

PeerProcess::PeerProcess(const std::vector<std::string>& command)
    : PeerProcess([&command](int socket) {
        std::vector<char*> argv;
        for (const std::string& word : command) argv.push_back(const_cast<char*>(word.c_str()));
        argv.push_back(nullptr);
        ::dup2(socket, STDIN_FILENO);
        ::dup2(socket, STDOUT_FILENO);
        ::execvp(argv.front(), argv.data());
      }) {}

PeerProcess::~PeerProcess() {
  socket_.reset();
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

std::optional<double> PeerProcess::ask(const std::string& line) const {
  const std::string sent = line + "\n";
  if (::send(socket_.get(), sent.data(), sent.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(sent.size()))
    return std::nullopt;
  std::string answer;
  for (char c = 0; ::read(socket_.get(), &c, 1) == 1;) {
    if (c == '\n') {
      double number = 0;
      const auto read = std::from_chars(answer.data(), answer.data() + answer.size(), number);
      return read.ec == std::errc{} ? std::optional(number) : std::nullopt;
    }
    answer += c;
  }
  return std::nullopt;
}

}  // namespace quern::bench
