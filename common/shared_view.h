// SharedView: memory that several processes touch at once, as words; and waiting for a word to change.
//
//     SharedView view = ...;
//     AtomicView<std::uint64_t> bins = view.as<std::uint64_t>(64);   // from byte 64 on
//     bins[7].fetch_add(1, std::memory_order_relaxed);               // std::atomic_ref: any of its operations
//     AtomicView<std::uint32_t> flag = view.as<std::uint32_t>();
//     flag[0].store(1);
//     flag.notify_all(0);                                            // elsewhere: flag.wait(0, 0, 5s)
//
// Words are 32 or 64 bits, aligned, in the machine's order, and lock-free. A memory order that is not given is
// seq_cst, as in std::atomic. What lies there is any process's to write: check what is read before it is used as an
// index or a size.
//
// wait() and notify are futex(2) on a 32-bit word of shared memory. A wait ends
//   - when the word is found not to hold `expected`: at once if it does not now;
//   - when `timeout` has passed.
// A notify without a change wakes nobody. The waiter looks at the word again every kLookAgain whatever happens:
// a process that dies between its store and its notify costs the waiter no more than that. Nothing here is left
// locked by a death: there is no lock.
//
// A view owns nothing and can be copied; the memory must outlive it. Safe to use from any thread and process.
#pragma once

#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <climits>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>

namespace quern {

enum class WaitResult { kChanged, kTimedOut };

template <class T>
concept SharedWord = std::same_as<T, std::uint32_t> || std::same_as<T, std::int32_t> ||
                     std::same_as<T, std::uint64_t> || std::same_as<T, std::int64_t> || std::same_as<T, double>;

template <SharedWord Word>
class AtomicView {
  static_assert(std::atomic_ref<Word>::is_always_lock_free);

 public:
  explicit AtomicView(std::span<Word> words) noexcept : words_(words) {}

  [[nodiscard]] std::size_t size() const noexcept { return words_.size(); }
  // Requires: index < size().
  [[nodiscard]] std::atomic_ref<Word> operator[](std::size_t index) const noexcept {
    return std::atomic_ref<Word>(words_[index]);
  }

  // How long a wait trusts that it will be woken.
  static constexpr std::chrono::milliseconds kLookAgain{10};

  // Requires: index < size(); timeout >= 0. `look` is called before each sleep, and may throw.
  template <class Look>
  [[nodiscard]] WaitResult wait(std::size_t index, Word expected, std::chrono::nanoseconds timeout, Look look) const
    requires(sizeof(Word) == 4)
  {
    using Clock = std::chrono::steady_clock;
    const auto end = timeout > kForEver ? Clock::time_point::max() : Clock::now() + timeout;
    while ((*this)[index].load() == expected) {
      look();
      const auto now = Clock::now();
      if (now >= end) return WaitResult::kTimedOut;
      const std::chrono::nanoseconds slice = std::min<std::chrono::nanoseconds>(end - now, kLookAgain);
      const timespec pause{.tv_sec = 0, .tv_nsec = slice.count()};
      // the kernel compares once more, under its lock: a notify since the load above is not missed
      ::syscall(SYS_futex, &words_[index], FUTEX_WAIT, expected, &pause, nullptr, 0);
    }
    return WaitResult::kChanged;
  }
  [[nodiscard]] WaitResult wait(std::size_t index, Word expected, std::chrono::nanoseconds timeout) const
    requires(sizeof(Word) == 4)
  {
    return wait(index, expected, timeout, [] {});
  }
  // Store first. Returns how many were woken.
  std::size_t notify_one(std::size_t index) const noexcept
    requires(sizeof(Word) == 4)
  {
    return wake(index, 1);
  }
  std::size_t notify_all(std::size_t index) const noexcept
    requires(sizeof(Word) == 4)
  {
    return wake(index, INT_MAX);
  }

 private:
  static constexpr std::chrono::hours kForEver{24 * 365};

  // Not FUTEX_PRIVATE_FLAG: the waiter may be another process.
  std::size_t wake(std::size_t index, int most) const noexcept {
    const long woken = ::syscall(SYS_futex, &words_[index], FUTEX_WAKE, most, nullptr, nullptr, 0);
    return woken > 0 ? static_cast<std::size_t>(woken) : 0;
  }

  std::span<Word> words_;
};

class SharedView {
 public:
  SharedView() = default;
  // Requires: aligned to 8 bytes, as mappings are.
  explicit SharedView(std::span<std::byte> bytes) noexcept : bytes_(bytes) {}

  [[nodiscard]] std::size_t size() const noexcept { return bytes_.size(); }
  // For what nobody writes at the same time.
  [[nodiscard]] std::span<std::byte> bytes() const noexcept { return bytes_; }

  // `count` words from byte `offset` on. Throws std::out_of_range when they are not there, std::invalid_argument when
  // the offset is no multiple of the word's size.
  template <SharedWord Word>
  [[nodiscard]] AtomicView<Word> as(std::size_t offset, std::size_t count) const {
    if (offset % sizeof(Word) != 0) throw std::invalid_argument("a word's offset must be a multiple of its size");
    if (offset > bytes_.size() || count > (bytes_.size() - offset) / sizeof(Word)) {
      throw std::out_of_range("these words do not lie in the shared buffer");
    }
    return AtomicView<Word>({reinterpret_cast<Word*>(bytes_.data() + offset), count});
  }
  // As many as there are.
  template <SharedWord Word>
  [[nodiscard]] AtomicView<Word> as(std::size_t offset = 0) const {
    return as<Word>(offset, offset > bytes_.size() ? 0 : (bytes_.size() - offset) / sizeof(Word));
  }

 private:
  std::span<std::byte> bytes_;
};

}  // namespace quern
