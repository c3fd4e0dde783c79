#include "ipc/control.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "ipc/memfd.h"

namespace quern::ipc {
namespace {

TEST(Control, AMessageArrivesWholeWithItsDescriptors) {
  const auto pair = make_control_pair();
  ASSERT_TRUE(pair);
  const auto fd = memfd_from("test", as_bytes("payload"));
  ASSERT_TRUE(fd);
  const int fds[] = {fd->get(), fd->get()};
  ASSERT_TRUE(send_control(pair->supervisor.get(), {.type = ControlType::kJobFds, .value = -3, .id = 99},
                           as_bytes("body"), fds));
  ControlMessage message;
  const auto received = receive_control(pair->child.get(), message);
  ASSERT_TRUE(received);
  EXPECT_EQ(message.header.type, ControlType::kJobFds);
  EXPECT_EQ(message.header.value, -3);
  EXPECT_EQ(message.header.id, 99U);
  EXPECT_EQ(as_text(message.body), "body");
  ASSERT_EQ(message.fds.size(), 2U);
  EXPECT_EQ(*sealed_size(message.fds[1].get()), 7U);
  EXPECT_NE(::fcntl(message.fds[0].get(), F_GETFD) & FD_CLOEXEC, 0);
}

TEST(Control, TheEndOfThePeerIsSeen) {
  auto pair = make_control_pair();
  ASSERT_TRUE(pair);
  pair->supervisor.reset();
  ControlMessage message;
  EXPECT_EQ(*receive_control(pair->child.get(), message), IoStatus::kClosed);
  EXPECT_EQ(send_control(pair->child.get(), {})->status, IoStatus::kClosed) << "and no SIGPIPE";
}

TEST(Control, WhatAPeerSentBeforeItDiedArrivesThoughItLeftPacketsUnread) {
  auto pair = make_control_pair();
  ASSERT_TRUE(pair);
  const auto fd = memfd_from("test", as_bytes("payload"));
  const int fds[] = {fd->get()};
  ASSERT_TRUE(send_control(pair->supervisor.get(), {.type = ControlType::kJobFds}, {}, fds));
  ASSERT_TRUE(send_control(pair->child.get(), {.type = ControlType::kResultFds, .id = 7}, {}, fds));
  pair->child.reset();
  ControlMessage message;
  ASSERT_EQ(*receive_control(pair->supervisor.get(), message), IoStatus::kDone);
  EXPECT_EQ(message.header.id, 7U);
  EXPECT_EQ(message.fds.size(), 1U);
  EXPECT_EQ(*receive_control(pair->supervisor.get(), message), IoStatus::kClosed);
}

TEST(Control, AFullSocketWouldBlockAndLosesNothing) {
  const auto pair = make_control_pair();
  ASSERT_TRUE(pair);
  ASSERT_EQ(::fcntl(pair->supervisor.get(), F_SETFL, O_NONBLOCK), 0);
  std::uint64_t sent = 0;
  while (send_control(pair->supervisor.get(), {.type = ControlType::kSpawn, .id = sent})->status == IoStatus::kDone)
    ++sent;
  ASSERT_EQ(::fcntl(pair->child.get(), F_SETFL, O_NONBLOCK), 0);
  ControlMessage message;
  for (std::uint64_t i = 0; i < sent; ++i) {
    ASSERT_EQ(*receive_control(pair->child.get(), message), IoStatus::kDone);
    ASSERT_EQ(message.header.id, i);
  }
  EXPECT_EQ(*receive_control(pair->child.get(), message), IoStatus::kWouldBlock);
}

TEST(Control, AShortPacketIsAnError) {
  const auto pair = make_control_pair();
  ASSERT_TRUE(pair);
  ASSERT_EQ(::write(pair->supervisor.get(), "short", 5), 5);
  ControlMessage message;
  EXPECT_EQ(receive_control(pair->child.get(), message).error().code, ErrorCode::kProtocolError);
}

TEST(Control, KindsSurviveTheRoundTrip) {
  std::vector<std::byte> body;
  encode_kind(body, {.sensitive = true, .name = "hash.scrypt", .description_json = "{\"a\":1}"});
  const auto kind = decode_kind(body);
  ASSERT_TRUE(kind);
  EXPECT_TRUE(kind->sensitive);
  EXPECT_FALSE(kind->canary);
  EXPECT_EQ(kind->name, "hash.scrypt");
  EXPECT_EQ(kind->description_json, "{\"a\":1}");
  EXPECT_FALSE(decode_kind(ByteSpan(body).first(5)));

  body.clear();
  encode_kind(body, {.canary = true, .name = "health.hash", .description_json = "{}"});
  EXPECT_FALSE(decode_kind(body)->sensitive);
  EXPECT_TRUE(decode_kind(body)->canary);
}

TEST(Control, AddressesSurviveTheRoundTrip) {
  std::vector<std::byte> body;
  const std::vector<std::uint64_t> addresses{0, 0x7f0012345678, UINT64_MAX};
  encode_addresses(body, addresses);
  EXPECT_EQ(decode_addresses(body).value(), addresses);
  EXPECT_TRUE(decode_addresses({}).value().empty());
  EXPECT_FALSE(decode_addresses(ByteSpan(body).first(9)));
}

}  // namespace
}  // namespace quern::ipc
