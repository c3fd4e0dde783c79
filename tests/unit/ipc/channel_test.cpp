#include "ipc/channel.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <array>
#include <thread>
#include <vector>

namespace quern::ipc {
namespace {

const Geometry kSmall{.slots = 4, .input_extent_bytes = 4096, .output_extent_bytes = 8192};

TEST(Geometry, AcceptsOnlyPowersOfTwoAndWholePages) {
  EXPECT_TRUE(kSmall.valid());
  EXPECT_FALSE((Geometry{.slots = 3}).valid());
  EXPECT_FALSE((Geometry{.slots = 0}).valid());
  EXPECT_FALSE((Geometry{.slots = 2048}).valid());
  EXPECT_FALSE((Geometry{.input_extent_bytes = 100}).valid());
  EXPECT_FALSE((Geometry{.output_extent_bytes = 0}).valid());
}

TEST(Channel, TheWorkerSeesWhatTheSupervisorMade) {
  auto created = Channel::create(kSmall, 42);
  ASSERT_TRUE(created);
  auto opened = Channel::open(created->fd.get());
  ASSERT_TRUE(opened);
  EXPECT_EQ(opened->geometry(), kSmall);
  EXPECT_EQ(opened->header().incarnation, 42U);
  created->channel.input(5)[0] = std::byte{7};
  EXPECT_EQ(opened->input(1)[0], std::byte{7}) << "position 5 uses slot 1 of 4";
}

TEST(Channel, SlotsDoNotOverlap) {
  auto created = Channel::create(kSmall, 1);
  ASSERT_TRUE(created);
  const Channel& channel = created->channel;
  for (std::uint64_t p = 0; p + 1 < kSmall.slots; ++p) {
    EXPECT_EQ(channel.input(p).data() + kSmall.input_extent_bytes, channel.input(p + 1).data());
    EXPECT_EQ(channel.output(p).data() + kSmall.output_extent_bytes, channel.output(p + 1).data());
    EXPECT_EQ(channel.result_parts(p).data() + kResultPartsMax, channel.result_parts(p + 1).data());
  }
  EXPECT_EQ(channel.output(3).data() + kSmall.output_extent_bytes, channel.stream().data());
  EXPECT_EQ(channel.stream().data() + channel.stream().size(),
            reinterpret_cast<std::byte*>(&channel.header()) + kSmall.total_bytes());
}

TEST(Channel, CanNeitherShrinkNorGrow) {
  auto created = Channel::create(kSmall, 1);
  ASSERT_TRUE(created);
  EXPECT_NE(::ftruncate(created->fd.get(), 0), 0);
  EXPECT_NE(::ftruncate(created->fd.get(), static_cast<off_t>(kSmall.total_bytes() * 2)), 0);
}

TEST(Channel, OfAnotherLayoutIsRefused) {
  auto created = Channel::create(kSmall, 1);
  ASSERT_TRUE(created);
  created->channel.header().layout_version = 99;
  EXPECT_FALSE(Channel::open(created->fd.get()));
  created->channel.header().layout_version = kChannelLayoutVersion;
  created->channel.header().slots = 8;
  EXPECT_FALSE(Channel::open(created->fd.get()));
}

TEST(Progress, IsReadWholeWhileItIsWritten) {
  auto created = Channel::create(kSmall, 1);
  ASSERT_TRUE(created);
  ChannelHeader& header = created->channel.header();
  constexpr std::uint64_t kRounds = 200'000;
  std::thread writer([&] {
    ProgressView view;
    for (std::uint64_t i = 1; i <= kRounds; ++i) {
      view = {.done = i, .total = 2 * i, .message_bytes = static_cast<std::uint32_t>(i % (view.message.size() + 1))};
      view.message.fill(static_cast<char>('a' + i % 26));
      store_progress(header, 9, view);
    }
  });
  std::uint64_t seen = 0;
  while (seen < kRounds) {
    ProgressView view;
    if (!load_progress(header, 9, view)) continue;
    ASSERT_EQ(view.total, 2 * view.done);
    ASSERT_EQ(view.message_text(),
              std::string(view.done % (view.message.size() + 1), static_cast<char>('a' + view.done % 26)));
    ASSERT_GE(view.done, seen);
    seen = view.done;
  }
  writer.join();
  ProgressView view;
  EXPECT_FALSE(load_progress(header, 8, view)) << "of another position";
  header.progress_message_bytes = UINT64_MAX;
  ASSERT_TRUE(load_progress(header, 9, view));
  EXPECT_EQ(view.message_text().size(), kProgressMessageBytesMax) << "whatever a worker says";
  header.progress_version.fetch_add(1);
  EXPECT_FALSE(load_progress(header, 9, view)) << "a writer that died in the middle";
}

void* frame(std::uint64_t address) { return reinterpret_cast<void*>(address); }

TEST(Stack, IsReadWholeWhileItIsWritten) {
  auto created = Channel::create(kSmall, 1);
  ASSERT_TRUE(created);
  ChannelHeader& header = created->channel.header();
  constexpr std::uint64_t kRounds = 500'000;
  std::thread writer([&] {
    for (std::uint64_t i = 1; i <= kRounds; ++i) {
      const std::array<void*, 3> frames{frame(i), frame(i + 1), frame(i + 2)};
      store_stack(header, 9, std::span(frames).first(1 + i % 3));
    }
  });
  std::uint64_t seen = 0;
  while (seen < kRounds) {
    StackView view;
    if (!load_stack(header, 9, view)) continue;
    ASSERT_GE(view.addresses[0], seen);
    seen = view.addresses[0];
    ASSERT_EQ(view.depth, 1 + seen % 3);
    for (std::uint32_t i = 1; i < view.depth; ++i) ASSERT_EQ(view.addresses[i], seen + i);
  }
  writer.join();
}

TEST(Stack, OfAHostileWriterIsNeverReadPastItsEnd) {
  auto created = Channel::create(kSmall, 1);
  ASSERT_TRUE(created);
  ChannelHeader& header = created->channel.header();
  StackView view;
  EXPECT_FALSE(load_stack(header, 0, view)) << "none was stored yet";
  const std::vector<void*> deep(100, frame(1));
  store_stack(header, 4, deep);
  ASSERT_TRUE(load_stack(header, 4, view));
  EXPECT_EQ(view.depth, kStackFramesMax);
  EXPECT_FALSE(load_stack(header, 5, view)) << "of another position";
  header.stack_depth.store(kStackFramesMax + 1);
  EXPECT_FALSE(load_stack(header, 4, view));
  header.stack_depth.store(1);
  header.stack_version.fetch_add(1);
  EXPECT_FALSE(load_stack(header, 4, view)) << "a writer that died in the middle";
}

}  // namespace
}  // namespace quern::ipc
