// How a large body gets from a socket into a memfd: the stream itself, over real socket pairs; how fast it
// must come; and who gets memory for it when.
#include "supervisor/body_stream.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <map>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "common/sanitizer.h"
#include "ipc/memfd.h"
#include "supervisor/frame_pace.h"
#include "supervisor/in_buffer.h"
#include "supervisor/receive_budget.h"

namespace quern::supervisor {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string some_bytes(std::size_t n) {
  std::string bytes;
  for (std::size_t i = 0; i < n; ++i) bytes += static_cast<char>('a' + i * 7 % 23);
  return bytes;
}

std::string contents(const unique_fd& memfd) {
  const auto mapping = ipc::Mapping::map(memfd.get(), ipc::sealed_size(memfd.get()).value(), ipc::Access::kReadOnly);
  return std::string(ipc::as_text(mapping->bytes()));
}

struct Stream {
  Stream() {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) std::abort();
    a.reset(ends[0]);
    b.reset(ends[1]);
  }
  unique_fd a;
  unique_fd b;
};

// ---- The stream ------------------------------------------------------------------------------------

TEST(BodyStream, KeepsEveryByteHoweverTheyAreSplitAndNoneOfTheNextFrame) {
  constexpr std::size_t kBodyBytes = 1'000'003;
  const std::string sent = some_bytes(kBodyBytes) + "the next frame";
  for (unsigned seed = 1; seed <= 5; ++seed) {
    const Stream stream;
    std::thread writer([&] {
      std::minstd_rand random(seed);
      for (std::size_t at = 0; at < sent.size();) {
        const std::size_t n = std::min<std::size_t>(sent.size() - at, 1 + random() % (seed == 1 ? 700 : 300'000));
        at += static_cast<std::size_t>(::write(stream.a.get(), sent.data() + at, n));
      }
    });
    InBuffer in;
    BodyStream body(kBodyBytes);
    ASSERT_TRUE(body.keep());
    while (body.missing() > 0) {
      ASSERT_TRUE(in.receive(stream.b.get(), 1));
      const auto taken = body.take(in.bytes());
      ASSERT_TRUE(taken);
      in.consume(*taken, false);
    }
    writer.join();
    while (in.bytes().size() < 14) ASSERT_TRUE(in.receive(stream.b.get(), 14));
    EXPECT_EQ(ipc::as_text(in.bytes()), "the next frame");
    const auto memfd = body.finish();
    ASSERT_TRUE(memfd);
    EXPECT_EQ(contents(*memfd), sent.substr(0, kBodyBytes));
  }
}

TEST(BodyStream, NobodyCanChangeWhatIsFinished) {
  BodyStream body(3);
  ASSERT_TRUE(body.keep());
  ASSERT_EQ(*body.take(ipc::as_bytes("abc")), 3U);
  const auto memfd = body.finish();
  ASSERT_TRUE(memfd);
  EXPECT_EQ(::pwrite(memfd->get(), "x", 1, 0), -1);
  EXPECT_EQ(::ftruncate(memfd->get(), 1), -1);
  EXPECT_EQ(*ipc::sealed_size(memfd->get()), 3U);
}

TEST(BodyStream, ThrowsAwayWhatNobodyWants) {
  BodyStream body(10);
  EXPECT_EQ(*body.take(ipc::as_bytes("0123")), 4U);
  EXPECT_EQ(*body.take(ipc::as_bytes("456789next")), 6U);
  EXPECT_EQ(body.missing(), 0U);
  EXPECT_FALSE(body.keeps());
}

TEST(BodyStream, WithoutDescriptorsSaysSoAndCanStillThrowAway) {
  if (kSanitized) GTEST_SKIP() << "the sanitizer's checks need descriptors of their own";
  rlimit files{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &files), 0);
  const rlimit none{.rlim_cur = 0, .rlim_max = files.rlim_max};
  BodyStream body(4);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  const auto kept = body.keep();
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &files), 0);
  ASSERT_FALSE(kept);
  EXPECT_EQ(kept.error().code, ErrorCode::kBusy);
  EXPECT_EQ(*body.take(ipc::as_bytes("0123")), 4U);
}

TEST(BodyStream, WithoutMemoryInTheMiddleSaysSoAndThrowsTheRestAway) {
  rlimit bytes{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &bytes), 0);
  const rlimit little{.rlim_cur = 100'000, .rlim_max = bytes.rlim_max};
  const auto before = ::signal(SIGXFSZ, SIG_IGN);
  const std::string piece = some_bytes(65'000);
  BodyStream body(4 * piece.size());
  ASSERT_TRUE(body.keep());
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &little), 0);
  const auto first = body.take(ipc::as_bytes(piece));
  const auto second = body.take(ipc::as_bytes(piece));
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &bytes), 0);
  ::signal(SIGXFSZ, before);
  EXPECT_TRUE(first);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::kBusy);
  EXPECT_THAT(second.error().message, HasSubstr("short of memory"));
  EXPECT_TRUE(body.discard());
  EXPECT_FALSE(body.keeps());
  for (int i = 0; i < 3; ++i) EXPECT_EQ(*body.take(ipc::as_bytes(piece)), piece.size());
  EXPECT_EQ(body.missing(), 0U);
}

// ---- How fast ----------------------------------------------------------------------------------------

constexpr std::int64_t kSecond = 1'000'000'000;
constexpr FramePace::Limits kLimits{.timeout_ms = 1'000, .bytes_per_s_min = 1'000};

TEST(FramePace, ASmallFrameHasItsTimeoutInAll) {
  FramePace pace;
  EXPECT_EQ(pace.verdict(100 * kSecond, kLimits), FramePace::Verdict::kInTime) << "nobody waits for it";
  pace.wait(kSecond);
  pace.resume(kSecond + kSecond * 6 / 10);
  pace.wait(10 * kSecond);
  EXPECT_EQ(pace.verdict(10 * kSecond + kSecond * 3 / 10, kLimits), FramePace::Verdict::kInTime);
  EXPECT_EQ(pace.verdict(10 * kSecond + kSecond * 5 / 10, kLimits), FramePace::Verdict::kStalled);
}

TEST(FramePace, ALargeFrameMayTakeTheTimeItsBytesNeedAndNoLongerPause) {
  FramePace pace;
  std::int64_t now = kSecond;
  for (int i = 0; i < 20; ++i) {  // 10 s at twice the least speed
    pace.wait(now);
    now += kSecond / 2;
    EXPECT_EQ(pace.verdict(now, kLimits), FramePace::Verdict::kInTime);
    pace.resume(now);
    pace.came(1'000);
  }
  pace.wait(now);
  EXPECT_EQ(pace.verdict(now + kSecond, kLimits), FramePace::Verdict::kStalled);
}

TEST(FramePace, ATricklerIsTooSlow) {
  FramePace pace;
  std::int64_t now = kSecond;
  FramePace::Verdict verdict = FramePace::Verdict::kInTime;
  int waits = 0;
  for (; waits < 100 && verdict == FramePace::Verdict::kInTime; ++waits) {
    pace.wait(now);
    now += kSecond / 10;
    verdict = pace.verdict(now, kLimits);
    pace.resume(now);
    pace.came(1);
  }
  EXPECT_EQ(verdict, FramePace::Verdict::kTooSlow);
  EXPECT_EQ(waits, 11);
  pace.reset();
  pace.wait(now);
  EXPECT_EQ(pace.verdict(now + kSecond / 2, kLimits), FramePace::Verdict::kInTime) << "the next frame is another";
}

TEST(FramePace, WithoutALeastSpeedOnlyPausesCount) {
  constexpr FramePace::Limits kAnySpeed{.timeout_ms = 1'000, .bytes_per_s_min = 0};
  FramePace pace;
  for (std::int64_t now = kSecond; now < 100 * kSecond; now += kSecond / 2) {
    pace.resume(now);
    pace.came(1);
    pace.wait(now);
    EXPECT_EQ(pace.verdict(now + kSecond / 2, kAnySpeed), FramePace::Verdict::kInTime);
  }
  EXPECT_EQ(pace.verdict(200 * kSecond, kAnySpeed), FramePace::Verdict::kStalled);
}

// ---- Who gets memory -----------------------------------------------------------------------------------

class Bodies : public ::testing::Test {
 protected:
  void want(int who, std::uint64_t bytes) {
    boost::asio::co_spawn(io_, reserve(who, bytes), boost::asio::detached);
    settle();
  }
  void give_back(int who) {
    shares_.erase(who);
    settle();
  }
  void settle() {
    io_.restart();
    io_.poll();
  }
  boost::asio::io_context io_;
  ReceiveBudget budget_{io_, 100};
  std::map<int, ReceiveBudget::Share> shares_;
  std::vector<int> served_;  // in that order

 private:
  boost::asio::awaitable<void> reserve(int who, std::uint64_t bytes) {
    ReceiveBudget::Share share = co_await budget_.reserve(bytes);
    shares_.emplace(who, std::move(share));
    served_.push_back(who);
  }
};

TEST_F(Bodies, AreServedInTheirOrder) {
  want(1, 60);
  want(2, 60);
  want(3, 10);
  EXPECT_THAT(served_, ElementsAre(1)) << "who came first is not overtaken by who needs less";
  give_back(1);
  EXPECT_THAT(served_, ElementsAre(1, 2, 3));
  EXPECT_EQ(budget_.used(), 70U);
  shares_.clear();
  EXPECT_EQ(budget_.used(), 0U);
}

TEST_F(Bodies, LargerThanTheBudgetComeOneAtATimeBesideTheOthers) {
  want(1, 50);
  want(2, 1'000);
  want(3, 5'000);
  want(4, 50);
  EXPECT_THAT(served_, ElementsAre(1, 2, 4));
  give_back(1);
  give_back(4);
  EXPECT_THAT(served_, ElementsAre(1, 2, 4)) << "still one of them";
  give_back(2);
  EXPECT_THAT(served_, ElementsAre(1, 2, 4, 3));
}

}  // namespace
}  // namespace quern::supervisor
