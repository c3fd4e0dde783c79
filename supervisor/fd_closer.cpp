#include "supervisor/fd_closer.h"

#include <signal.h>

#include <utility>

namespace quern::supervisor {

// Signals are the loop's business: a thread inherits the mask of its creator.
FdCloser::FdCloser() {
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] { run(); });
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

FdCloser::~FdCloser() {
  {
    const std::lock_guard lock(mutex_);
    ends_ = true;
  }
  work_.notify_one();
  thread_.join();
}

void FdCloser::close(unique_fd fd) {
  if (!fd) return;
  {
    const std::lock_guard lock(mutex_);
    waiting_.push_back(std::move(fd));
  }
  work_.notify_one();
}

void FdCloser::close(std::vector<unique_fd>& fds) {
  for (unique_fd& fd : fds) close(std::move(fd));
  fds.clear();
}

void FdCloser::run() {
  std::unique_lock lock(mutex_);
  std::vector<unique_fd> closing;
  for (;;) {
    work_.wait(lock, [this] { return ends_ || !waiting_.empty(); });
    if (waiting_.empty()) return;
    closing.swap(waiting_);
    lock.unlock();
    closing.clear();  // here is where the time goes
    lock.lock();
  }
}

}  // namespace quern::supervisor
