#include "bench/floor.h"

#include <linux/futex.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <new>
#include <stdexcept>

namespace quern::bench {
namespace {

[[noreturn]] void run_worker(std::atomic<std::uint32_t>& word, int eventfd) {
  for (std::uint32_t seen = 0;; ++seen) {
    while (word.load() == seen) ::syscall(SYS_futex, &word, FUTEX_WAIT, seen, nullptr, nullptr, 0);
    const std::uint64_t one = 1;
    if (::write(eventfd, &one, sizeof one) < 0) ::_exit(1);
  }
}

[[noreturn]] void run_relay(std::atomic<std::uint32_t>& word, int socket, int eventfd) {
  const int epoll = ::epoll_create1(EPOLL_CLOEXEC);
  epoll_event from_client{.events = EPOLLIN, .data = {.fd = socket}};
  epoll_event from_worker{.events = EPOLLIN, .data = {.fd = eventfd}};
  ::epoll_ctl(epoll, EPOLL_CTL_ADD, socket, &from_client);
  ::epoll_ctl(epoll, EPOLL_CTL_ADD, eventfd, &from_worker);
  for (;;) {
    epoll_event event{};
    if (::epoll_wait(epoll, &event, 1, -1) != 1) continue;
    char byte = 0;
    std::uint64_t count = 0;
    if (event.data.fd == socket) {
      if (::read(socket, &byte, 1) != 1) ::_exit(0);
      word.fetch_add(1);
      ::syscall(SYS_futex, &word, FUTEX_WAKE, 1, nullptr, nullptr, 0);
    } else if (::read(eventfd, &count, sizeof count) == sizeof count) {
      if (::write(socket, &byte, 1) != 1) ::_exit(0);
    }
  }
}

}  // namespace

Floor::Floor() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) throw std::runtime_error("socketpair");
  socket_.reset(ends[0]);
  const unique_fd relay_end(ends[1]);
  void* page = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) throw std::runtime_error("mmap");
  word_ = ::new (page) std::atomic<std::uint32_t>(0);
  const unique_fd eventfd(::eventfd(0, EFD_CLOEXEC));
  worker_ = ::fork();
  if (worker_ == 0) run_worker(*word_, eventfd.get());
  relay_ = ::fork();
  if (relay_ == 0) {
    socket_.reset();
    run_relay(*word_, relay_end.get(), eventfd.get());
  }
}

Floor::~Floor() {
  for (const pid_t pid : {relay_, worker_}) {
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
  }
  ::munmap(word_, 4096);
}

void Floor::round_trip() {
  char byte = 'x';
  if (::write(socket_.get(), &byte, 1) != 1 || ::read(socket_.get(), &byte, 1) != 1)
    throw std::runtime_error("the floor broke");
}

}  // namespace quern::bench
