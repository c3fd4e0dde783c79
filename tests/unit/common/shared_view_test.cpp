#include "common/shared_view.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <future>
#include <thread>
#include <vector>

namespace quern {
namespace {

using namespace std::chrono_literals;

// Memory that a forked child shares.
class SharedPage {
 public:
  SharedPage() : memory_(::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)) {}
  ~SharedPage() { ::munmap(memory_, kBytes); }
  [[nodiscard]] SharedView view() const { return SharedView({static_cast<std::byte*>(memory_), kBytes}); }

 private:
  static constexpr std::size_t kBytes = 4096;
  void* memory_;
};

TEST(SharedView, HasAsManyWordsAsFit) {
  alignas(8) std::array<std::byte, 20> bytes{};
  const SharedView view(bytes);
  EXPECT_EQ(view.as<std::uint32_t>().size(), 5U);
  EXPECT_EQ(view.as<std::uint64_t>().size(), 2U);
  EXPECT_EQ(view.as<double>(8).size(), 1U);
  EXPECT_EQ(view.as<std::uint32_t>(20).size(), 0U);
  EXPECT_EQ(view.as<std::uint32_t>(4, 3).size(), 3U);
  EXPECT_THROW((void)view.as<std::uint32_t>(2), std::invalid_argument);
  EXPECT_THROW((void)view.as<std::uint32_t>(24), std::out_of_range);
  EXPECT_THROW((void)view.as<std::uint32_t>(8, 4), std::out_of_range);
  EXPECT_THROW((void)view.as<std::uint64_t>(0, SIZE_MAX / 4), std::out_of_range);
}

TEST(SharedView, ThreadsCountTogether) {
  const SharedPage page;
  const auto words = page.view().as<std::uint64_t>();
  const auto sums = page.view().as<double>(8, 1);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 10'000; ++i) {
        words[0].fetch_add(1, std::memory_order_relaxed);
        sums[0].fetch_add(0.5);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(words[0].load(), 40'000U);
  EXPECT_EQ(sums[0].load(), 20'000.0);
}

TEST(AtomicViewWait, EndsAtOnceWhenTheWordIsAnother) {
  const SharedPage page;
  const auto words = page.view().as<std::int32_t>();
  words[0].store(-1);
  EXPECT_EQ(words.wait(0, 0, 1h), WaitResult::kChanged);
  EXPECT_EQ(words.wait(0, 0, std::chrono::nanoseconds::max()), WaitResult::kChanged);
}

TEST(AtomicViewWait, EndsWithItsTime) {
  const SharedPage page;
  const auto words = page.view().as<std::uint32_t>();
  const auto began = std::chrono::steady_clock::now();
  EXPECT_EQ(words.wait(0, 0, 30ms), WaitResult::kTimedOut);
  EXPECT_GE(std::chrono::steady_clock::now() - began, 30ms);
  EXPECT_EQ(words.wait(0, 0, 0ns), WaitResult::kTimedOut);
}

TEST(AtomicViewWait, IsWokenByANotify) {
  const SharedPage page;
  const auto words = page.view().as<std::uint32_t>();
  auto waiting = std::async(std::launch::async, [&] { return words.wait(0, 0, 1h); });
  while (words.notify_all(0) == 0) {  // it sleeps once somebody is woken; without a change it goes on waiting
    std::this_thread::yield();
  }
  EXPECT_EQ(waiting.wait_for(0s), std::future_status::timeout) << "nothing has changed";
  words[0].store(1);
  words.notify_one(0);
  EXPECT_EQ(waiting.get(), WaitResult::kChanged);
}

TEST(AtomicViewWait, SeesAChangeThatNobodyTellsOf) {
  const SharedPage page;
  const auto words = page.view().as<std::uint32_t>();
  const pid_t child = ::fork();
  if (child == 0) {
    while (words[1].load() == 0) std::this_thread::yield();
    words[0].store(1);
    ::kill(::getpid(), SIGKILL);  // between the store and the notify
  }
  words[1].store(1);
  EXPECT_EQ(words.wait(0, 0, 1h), WaitResult::kChanged);
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
}

TEST(AtomicViewWait, LooksWhetherItShouldGoOn) {
  const SharedPage page;
  const auto words = page.view().as<std::uint32_t>();
  int looks = 0;
  const auto look = [&] {
    if (++looks == 3) throw std::runtime_error("stop");
  };
  EXPECT_THROW((void)words.wait(0, 0, 1h, look), std::runtime_error);
}

}  // namespace
}  // namespace quern
