#include "supervisor/fd_closer.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>

#include <chrono>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <system_error>
#include <thread>

namespace quern::supervisor {
namespace {

// How long a thread waits for more. A thread to be made costs five times what one to be woken does.
constexpr std::chrono::seconds kLinger{2};

constexpr std::uint64_t kMemoryQueue = UINT64_MAX;  // no user's number is as large

enum class Kind { kQuick, kMemory, kOther };

// Only memfds, and files in /dev/shm, have seals to be asked for; the question reaches no file system that could
// hang, nor does fstat for those.
Kind kind_of(int fd) noexcept {
  if (::fcntl(fd, F_GET_SEALS) < 0) return Kind::kOther;
  struct stat info {};
  const bool small = ::fstat(fd, &info) == 0 && static_cast<std::uint64_t>(info.st_size) < FdCloser::kQuickBytes;
  return small ? Kind::kQuick : Kind::kMemory;
}

}  // namespace

struct FdCloser::Shared {
  mutable std::mutex mutex;
  std::condition_variable more;                                  // there is something in one of the queues
  std::map<Queue, std::chrono::steady_clock::time_point> began;  // guarded by mutex; the closing at hand
  std::map<Queue, std::deque<unique_fd>> left;  // guarded by mutex; a queue is here while its thread runs
};

FdCloser::FdCloser() : shared_(std::make_shared<Shared>()) {}
FdCloser::~FdCloser() = default;

void FdCloser::close(unique_fd fd, uid_t uid) {
  if (!fd) return;
  const Kind kind = kind_of(fd.get());
  if (kind == Kind::kQuick) return;
  const Queue queue = kind == Kind::kMemory ? kMemoryQueue : uid;
  bool has_thread = true;
  {
    const std::lock_guard lock(shared_->mutex);
    has_thread = shared_->left.contains(queue);
    shared_->left[queue].push_back(std::move(fd));
  }
  if (has_thread) return shared_->more.notify_all();
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);  // signals are the main thread's
  try {
    std::thread([shared = shared_, queue] { close_all(shared, queue); }).detach();
  } catch (const std::system_error&) {  // no thread to be had: the risk is ours
    close_all(shared_, queue);
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void FdCloser::close_all(const std::shared_ptr<Shared>& shared, Queue queue) {
  for (;;) {
    int next = -1;
    {
      std::unique_lock lock(shared->mutex);
      auto& left = shared->left.at(queue);
      if (!shared->more.wait_for(lock, kLinger, [&] { return !left.empty(); })) {
        shared->left.erase(queue);
        shared->began.erase(queue);
        return;
      }
      shared->began[queue] = std::chrono::steady_clock::now();
      next = left.front().get();  // stays counted until it is closed
    }
    ::close(next);
    const std::lock_guard lock(shared->mutex);
    auto& left = shared->left.at(queue);
    (void)left.front().release();
    left.pop_front();
  }
}

bool FdCloser::may_hang(int fd) noexcept { return kind_of(fd) == Kind::kOther; }

std::size_t FdCloser::pending(uid_t uid) const {
  const std::lock_guard lock(shared_->mutex);
  const auto at = shared_->left.find(uid);
  return at == shared_->left.end() ? 0 : at->second.size();
}

std::size_t FdCloser::pending() const {
  const std::lock_guard lock(shared_->mutex);
  std::size_t all = 0;
  for (const auto& [queue, left] : shared_->left) all += left.size();
  return all;
}

std::size_t FdCloser::threads() const {
  const std::lock_guard lock(shared_->mutex);
  return shared_->left.size();
}

std::size_t FdCloser::hanging(uid_t uid) const {
  const std::lock_guard lock(shared_->mutex);
  const auto at = shared_->left.find(uid);
  if (at == shared_->left.end() || at->second.empty()) return 0;
  const auto began = shared_->began.find(uid);
  const bool hangs = began != shared_->began.end() && std::chrono::steady_clock::now() - began->second >= kHanging;
  return hangs ? at->second.size() : 0;
}

}  // namespace quern::supervisor
