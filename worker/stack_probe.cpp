#include "worker/stack_probe.h"

#include <errno.h>
#include <execinfo.h>
#include <signal.h>
#include <ucontext.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <span>

#include "ipc/control.h"
#include "ipc/doorbell.h"

namespace quern::worker {
namespace {

constexpr std::uint64_t kIdle = UINT64_MAX;
constexpr std::size_t kHandlerFrames = 8;  // room for those of the handler itself, which are left out
constexpr std::size_t kAlternateStackBytes = 64U << 10;

// What the handler knows of its worker.
struct Probe {
  ipc::ChannelHeader* header = nullptr;
  int eventfd = -1;
  std::atomic<std::uint64_t> position{kIdle};
};
Probe probe;
alignas(16) std::array<std::byte, kAlternateStackBytes> alternate_stack;

void* interrupted_at(const void* context) noexcept {
  const auto& machine = static_cast<const ucontext_t*>(context)->uc_mcontext;
#if defined(__x86_64__)
  return reinterpret_cast<void*>(machine.gregs[REG_RIP]);
#elif defined(__aarch64__)
  return reinterpret_cast<void*>(machine.pc);
#else
#error "where does this machine keep its program counter?"
#endif
}

void on_stack_signal(int /*signal*/, siginfo_t* /*info*/, void* context) {
  const std::uint64_t position = probe.position.load(std::memory_order_relaxed);
  if (position == kIdle) return;
  const int saved_errno = errno;
  std::array<void*, ipc::kStackFramesMax + kHandlerFrames> frames{};
  const auto depth = static_cast<std::size_t>(::backtrace(frames.data(), static_cast<int>(frames.size())));
  const std::span<void* const> all(frames.data(), depth);
  const auto first = std::ranges::find(all, interrupted_at(context));
  const std::size_t skipped = first == all.end() ? 0 : static_cast<std::size_t>(first - all.begin());
  ipc::store_stack(*probe.header, position, all.subspan(skipped));
  ipc::ring_supervisor(*probe.header, probe.eventfd);
  errno = saved_errno;
}

}  // namespace

void prepare_stack_probe() noexcept {
  std::array<void*, 1> frame{};
  (void)::backtrace(frame.data(), 1);
  ::signal(ipc::stack_signal(), SIG_IGN);
}

Result<void> install_stack_probe(ipc::ChannelHeader& header, int eventfd) {
  probe.header = &header;
  probe.eventfd = eventfd;
  const stack_t stack{.ss_sp = alternate_stack.data(), .ss_flags = 0, .ss_size = alternate_stack.size()};
  if (::sigaltstack(&stack, nullptr) != 0) return system_error("sigaltstack", "", errno);
  struct sigaction action {};
  action.sa_sigaction = on_stack_signal;
  action.sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK;
  ::sigemptyset(&action.sa_mask);
  if (::sigaction(ipc::stack_signal(), &action, nullptr) != 0) return system_error("sigaction", "SIGRTMIN+1", errno);
  return {};
}

RunningJob::RunningJob(std::uint64_t position) noexcept { probe.position.store(position, std::memory_order_relaxed); }
RunningJob::~RunningJob() { probe.position.store(kIdle, std::memory_order_relaxed); }

}  // namespace quern::worker
