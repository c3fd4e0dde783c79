#include "ipc/doorbell.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <climits>

namespace quern::ipc {
namespace {

// The word is shared between processes, so never FUTEX_PRIVATE_FLAG.
void futex_wait(std::atomic<std::uint32_t>& word, std::uint32_t while_value) noexcept {
  ::syscall(SYS_futex, &word, FUTEX_WAIT, while_value, nullptr, nullptr, 0);
}
// False when the time is over.
bool futex_wait_for(std::atomic<std::uint32_t>& word, std::uint32_t while_value,
                    std::chrono::nanoseconds patience) noexcept {
  const auto whole = std::chrono::floor<std::chrono::seconds>(patience);
  const timespec limit{.tv_sec = whole.count(), .tv_nsec = (patience - whole).count()};
  return ::syscall(SYS_futex, &word, FUTEX_WAIT, while_value, &limit, nullptr, 0) == 0 || errno != ETIMEDOUT;
}
void futex_wake(std::atomic<std::uint32_t>& word) noexcept {
  ::syscall(SYS_futex, &word, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

void cpu_relax() noexcept {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

bool has_news(const ChannelHeader& header, std::uint64_t head) noexcept {
  return header.submission_tail.load(std::memory_order_seq_cst) != head ||
         header.lifecycle.load(std::memory_order_seq_cst) != static_cast<std::uint32_t>(Lifecycle::kRun);
}

bool wake_sleeper(std::atomic<std::uint32_t>& sleeping) noexcept {
  if (sleeping.load(std::memory_order_seq_cst) == 0) return false;
  sleeping.store(0, std::memory_order_seq_cst);
  futex_wake(sleeping);
  return true;
}

}  // namespace

bool ring_worker(ChannelHeader& header) noexcept { return wake_sleeper(header.worker_sleeping); }
bool ring_stream(ChannelHeader& header) noexcept { return wake_sleeper(header.stream_waiting); }
bool ring_memory(ChannelHeader& header) noexcept { return wake_sleeper(header.memory_waiting); }

bool wait_for_submission(ChannelHeader& header, std::uint64_t head, std::uint32_t spin,
                         std::chrono::nanoseconds patience) noexcept {
  for (std::uint32_t i = 0; i < spin; ++i) {
    if (has_news(header, head)) return true;
    cpu_relax();
  }
  header.worker_sleeping.store(1, std::memory_order_seq_cst);
  if (has_news(header, head)) {
    header.worker_sleeping.store(0, std::memory_order_relaxed);  // a stale 1 would only cost a needless wake
    return true;
  }
  if (patience != std::chrono::nanoseconds::max()) return futex_wait_for(header.worker_sleeping, 1, patience);
  futex_wait(header.worker_sleeping, 1);
  return true;
}

void wait_for_stream_room(ChannelHeader& header, std::uint64_t consumed, std::uint64_t position) noexcept {
  header.stream_waiting.store(1, std::memory_order_seq_cst);
  if (header.stream_consumed.load(std::memory_order_seq_cst) != consumed ||
      header.cancel.load(std::memory_order_seq_cst) == position + 1) {
    header.stream_waiting.store(0, std::memory_order_relaxed);  // a stale 1 would only cost a needless wake
    return;
  }
  futex_wait(header.stream_waiting, 1);
}

void wait_for_memory(ChannelHeader& header, std::uint64_t wanted, std::uint64_t position) noexcept {
  header.memory_waiting.store(1, std::memory_order_seq_cst);
  if (header.memory_granted.load(std::memory_order_seq_cst) == wanted ||
      header.cancel.load(std::memory_order_seq_cst) == position + 1) {
    header.memory_waiting.store(0, std::memory_order_relaxed);  // a stale 1 would only cost a needless wake
    return;
  }
  futex_wait(header.memory_waiting, 1);
}

bool prepare_supervisor_sleep(ChannelHeader& header, const SupervisorSeen& seen) noexcept {
  header.supervisor_sleeping.store(1, std::memory_order_seq_cst);
  if (header.completion_tail.load(std::memory_order_seq_cst) == seen.completions &&
      header.stream_produced.load(std::memory_order_seq_cst) == seen.stream &&
      header.memory_wanted.load(std::memory_order_seq_cst) == seen.memory) {
    return true;
  }
  supervisor_awake(header);
  return false;
}

void supervisor_awake(ChannelHeader& header) noexcept {
  header.supervisor_sleeping.store(0, std::memory_order_relaxed);  // a stale 1 would only cost a needless wake
}

bool ring_supervisor(ChannelHeader& header, int eventfd) noexcept {
  if (header.supervisor_sleeping.load(std::memory_order_seq_cst) == 0) return false;
  // exchange, so that a burst of completions makes one system call
  if (header.supervisor_sleeping.exchange(0, std::memory_order_seq_cst) == 0) return false;
  const std::uint64_t one = 1;
  // EAGAIN means the counter is full, so the supervisor has a wake-up pending anyway
  while (::write(eventfd, &one, sizeof one) < 0 && errno == EINTR) {
  }
  return true;
}

}  // namespace quern::ipc
