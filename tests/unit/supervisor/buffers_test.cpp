// A session's two buffers, over real socket pairs.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <string>
#include <thread>

#include "ipc/memfd.h"
#include "supervisor/in_buffer.h"
#include "supervisor/out_queue.h"

namespace quern::supervisor {
namespace {

struct Stream {
  Stream() {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) std::abort();
    a.reset(ends[0]);
    b.reset(ends[1]);
  }
  unique_fd a;
  unique_fd b;
};

std::string drain(int socket) {
  std::string all;
  char buffer[65536];
  for (ssize_t n = 0; (n = ::read(socket, buffer, sizeof buffer)) > 0;) all.append(buffer, static_cast<std::size_t>(n));
  return all;
}

void append(OutQueue& queue, std::string_view text) {
  auto& bytes = queue.frame(text.size());
  const auto raw = ipc::as_bytes(text);
  bytes.insert(bytes.end(), raw.begin(), raw.end());
}

TEST(OutQueue, SendsManyFramesInOrder) {
  const Stream stream;
  OutQueue queue;
  std::string expected;
  for (int i = 0; i < 1000; ++i) {
    append(queue, std::to_string(i) + ",");
    expected += std::to_string(i) + ",";
  }
  EXPECT_EQ(queue.bytes(), expected.size());
  EXPECT_EQ(*queue.send(stream.a.get()), ipc::IoStatus::kDone);
  EXPECT_TRUE(queue.empty());
  EXPECT_EQ(drain(stream.b.get()), expected);
}

TEST(OutQueue, ContinuesWhereAFullSocketStoppedIt) {
  const Stream stream;
  OutQueue queue;
  std::string expected;
  for (int i = 0; i < 100; ++i) {
    const std::string frame(30'000, static_cast<char>('a' + i % 26));
    append(queue, frame);
    expected += frame;
  }
  std::string received;
  while (!queue.empty()) {
    ASSERT_NE(*queue.send(stream.a.get()), ipc::IoStatus::kClosed);
    received += drain(stream.b.get());
  }
  EXPECT_EQ(received, expected);
}

TEST(OutQueue, AMemfdsContentsTakeTheirPlaceBetweenFrames) {
  const Stream stream;
  OutQueue queue;
  append(queue, "head ");
  auto memfd = ipc::memfd_from("test", ipc::as_bytes(std::string(300'000, 'x')));
  ASSERT_TRUE(memfd);
  queue.append_file(std::move(*memfd), 300'000);
  append(queue, " tail");
  std::string received;
  while (!queue.empty()) {
    ASSERT_NE(*queue.send(stream.a.get()), ipc::IoStatus::kClosed);
    received += drain(stream.b.get());
  }
  EXPECT_EQ(received, "head " + std::string(300'000, 'x') + " tail");
}

TEST(OutQueue, AReaderAsFastAsTheWriterGetsATurnAndNoMore) {
  const Stream stream;
  constexpr std::uint64_t kBytes = 4 * OutQueue::kTurnBytes;
  OutQueue queue;
  append(queue, "head");
  auto memfd = ipc::memfd_from("test", ipc::as_bytes(std::string(kBytes, 'x')));
  ASSERT_TRUE(memfd);
  queue.append_file(std::move(*memfd), kBytes);
  std::atomic<std::uint64_t> read_bytes = 0;
  std::thread reader([&] {
    ::fcntl(stream.b.get(), F_SETFL, 0);
    std::string buffer(1U << 20, '\0');
    for (ssize_t n = 0; (n = ::read(stream.b.get(), buffer.data(), buffer.size())) > 0;)
      read_bytes += static_cast<std::uint64_t>(n);
  });
  ::fcntl(stream.a.get(), F_SETFL, 0);  // a socket that never says it would block
  for (std::uint64_t turn = 1; turn <= 4; ++turn) {
    EXPECT_EQ(*queue.send(stream.a.get()), ipc::IoStatus::kDone);
    EXPECT_FALSE(queue.empty());
    EXPECT_LE(read_bytes, turn * OutQueue::kTurnBytes);
  }
  EXPECT_EQ(*queue.send(stream.a.get()), ipc::IoStatus::kDone);
  EXPECT_TRUE(queue.empty());
  ::shutdown(stream.a.get(), SHUT_WR);
  reader.join();
  EXPECT_EQ(read_bytes, kBytes + 4);
}

TEST(OutQueue, DescriptorsTravelWithTheirFrame) {
  const Stream stream;
  OutQueue queue;
  append(queue, "first");
  auto memfd = ipc::memfd_from("test", ipc::as_bytes("payload"));
  ASSERT_TRUE(memfd);
  std::vector<unique_fd> fds;
  fds.push_back(std::move(*memfd));
  auto& bytes = queue.frame(6, std::move(fds));
  const auto raw = ipc::as_bytes("second");
  bytes.insert(bytes.end(), raw.begin(), raw.end());
  ASSERT_EQ(*queue.send(stream.a.get()), ipc::IoStatus::kDone);
  InBuffer in;
  while (in.bytes().size() < 11) ASSERT_TRUE(in.receive(stream.b.get(), 11));
  EXPECT_EQ(ipc::as_text(in.bytes()), "firstsecond");
  const auto received = in.take_fds(1);
  ASSERT_EQ(received.size(), 1U);
  EXPECT_EQ(*ipc::sealed_size(received[0].get()), 7U);
}

TEST(OutQueue, CountsWhatIsOnItsWay) {
  const Stream stream;
  FdCloser closer;
  {
    OutQueue queue(&closer);
    append(queue, "first");
    std::vector<unique_fd> fds(2);
    for (unique_fd& fd : fds) fd = *ipc::memfd_from("test", ipc::as_bytes("payload"));
    queue.frame(6, std::move(fds), false, 14).push_back(std::byte{0});
    append(queue, "third");
    queue.append_file(*ipc::create_memfd("test", FdCloser::kQuickBytes), FdCloser::kQuickBytes);
    EXPECT_EQ(queue.bytes(), 11U);
    EXPECT_EQ(queue.memfds(), 3U);
    EXPECT_EQ(queue.memfd_bytes(), 14 + FdCloser::kQuickBytes);
    while (queue.memfd_bytes() == 14 + FdCloser::kQuickBytes || queue.bytes() > 0) {
      ASSERT_TRUE(queue.send(stream.a.get()));
    }
    EXPECT_EQ(queue.memfds(), 1U);
    EXPECT_EQ(queue.memfd_bytes(), FdCloser::kQuickBytes) << "as long as a byte of it is left";
    EXPECT_EQ(closer.threads(), 0U);
  }
  EXPECT_EQ(closer.threads(), 1U) << "what its reader does not want is freed elsewhere";
}

TEST(OutQueue, ALargeResultThatNobodyTakesIsFreedElsewhere) {
  FdCloser closer;
  {
    OutQueue queue(&closer);
    std::vector<unique_fd> fds(1);
    fds[0] = *ipc::create_memfd("test", FdCloser::kQuickBytes);
    queue.frame(6, std::move(fds), false, FdCloser::kQuickBytes).push_back(std::byte{0});
  }
  EXPECT_EQ(closer.threads(), 1U);
}

TEST(OutQueue, APeerThatIsGoneIsSeen) {
  Stream stream;
  stream.b.reset();
  OutQueue queue;
  append(queue, "x");
  EXPECT_EQ(*queue.send(stream.a.get()), ipc::IoStatus::kClosed);
}

TEST(InBuffer, KeepsEveryByteThroughItsFixedSize) {
  const Stream stream;
  constexpr std::size_t kFrameBytes = 60'000;  // never a whole number of them fits
  std::string sent;
  for (int i = 0; i < 400'000; ++i) sent += static_cast<char>('a' + i % 23);
  std::thread writer([&] {
    ::fcntl(stream.a.get(), F_SETFL, 0);
    for (std::size_t at = 0; at < sent.size();)
      at += static_cast<std::size_t>(
          ::write(stream.a.get(), sent.data() + at, std::min<std::size_t>(sent.size() - at, 7'001)));
  });
  InBuffer in;
  ::fcntl(stream.b.get(), F_SETFL, 0);
  std::string received;
  while (received.size() < sent.size()) {
    const std::size_t wanted = std::min(kFrameBytes, sent.size() - received.size());
    while (in.bytes().size() < wanted) ASSERT_TRUE(in.receive(stream.b.get(), wanted));
    received += ipc::as_text(in.bytes().first(wanted));
    in.consume(wanted, false);
  }
  writer.join();
  EXPECT_EQ(received, sent);
}

TEST(InBuffer, ConsumedSecretsAreGone) {
  const Stream stream;
  ASSERT_EQ(::write(stream.a.get(), "secretpublic", 12), 12);
  InBuffer in;
  ASSERT_TRUE(in.receive(stream.b.get(), 12));
  const std::byte* where = in.bytes().data();
  in.consume(6, true);
  EXPECT_EQ(ipc::as_text(in.bytes()), "public");
  for (int i = 0; i < 6; ++i) EXPECT_EQ(where[i], std::byte{0});
}

}  // namespace
}  // namespace quern::supervisor
