#include "supervisor/client_account.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace quern::supervisor {
namespace {

using ::testing::HasSubstr;

AccountLimits limits(std::uint32_t client_fds, std::uint32_t user_fds, std::uint64_t client_bytes = 1U << 20,
                     std::uint64_t user_bytes = 1U << 20) {
  LimitsConfig config;
  config.client_fds_max = client_fds;
  config.fds_per_uid_max = user_fds;
  config.client_payload_bytes_max = client_bytes;
  config.payload_bytes_per_uid_max = user_bytes;
  return account_limits(config, 1000, 0);
}

struct Accounts : ::testing::Test {
  FdCloser closer;
  ClientAccounts accounts{limits(10, 15, 1000, 1500), closer};
  [[nodiscard]] Holding of_user(uid_t wanted) const {
    Holding found;
    accounts.for_each_user([&](uid_t uid, std::uint32_t, const Holding& held) {
      if (uid == wanted) found = held;
    });
    return found;
  }
  [[nodiscard]] std::size_t users() const {
    std::size_t count = 0;
    accounts.for_each_user([&](uid_t, std::uint32_t, const Holding&) { ++count; });
    return count;
  }
};
using ClientAccountTest = Accounts;

TEST_F(ClientAccountTest, AChargeGivesBackWhatItHoldsHoweverItEnds) {
  {
    const Charge client = accounts.open(7);
    Charge job = client.another();
    job.add({.descriptors = 3, .payload_bytes = 100});
    EXPECT_EQ(client.of_client(), (Holding{.descriptors = 3, .payload_bytes = 100}));
    Charge moved = std::move(job);
    Charge part = moved.split({.descriptors = 1});
    EXPECT_EQ(moved.amount().descriptors, 2U);
    EXPECT_EQ(of_user(7).descriptors, 3U) << "a part of it is no more of it";
    moved = Charge();
    EXPECT_EQ(of_user(7), (Holding{.descriptors = 1}));
    part.set({.unread_bytes = 5});
    EXPECT_EQ(accounts.held(), (Holding{.unread_bytes = 5}));
  }
  EXPECT_EQ(accounts.held(), Holding{});
  EXPECT_EQ(users(), 0U);
}

TEST_F(ClientAccountTest, OutlivesItsConnectionAsLongAsSomethingIsHeld) {
  Charge job;
  {
    const Charge client = accounts.open(7);
    job = client.another();
    job.add({.payload_bytes = 900});
  }
  EXPECT_EQ(users(), 1U);
  const Charge again = accounts.open(7);
  EXPECT_EQ(again.of_client(), Holding{});
  EXPECT_TRUE(again.refusal({.payload_bytes = 601})) << "its user has still something";
  EXPECT_FALSE(again.refusal({.payload_bytes = 600}));
  job = Charge();
  EXPECT_FALSE(again.refusal({.payload_bytes = 601}));
}

TEST_F(ClientAccountTest, RefusesAboveTheClientsLimitAndSaysWhich) {
  Charge client = accounts.open(7);
  const auto never = client.refusal({.descriptors = 11});
  ASSERT_TRUE(never);
  EXPECT_EQ(never->code, ErrorCode::kTooLarge);
  EXPECT_EQ(never->field, "parts");
  EXPECT_THAT(never->message, HasSubstr("11 descriptors"));
  EXPECT_THAT(never->message, HasSubstr("10 descriptors (limits.client_fds_max)"));
  client.add({.descriptors = 8});
  const auto later = client.another().refusal({.descriptors = 3});
  ASSERT_TRUE(later);
  EXPECT_EQ(later->code, ErrorCode::kBusy);
  EXPECT_THAT(later->message, HasSubstr("8 descriptors are held"));
  EXPECT_THAT(later->message, HasSubstr("limits.client_fds_max"));
  EXPECT_FALSE(client.another().refusal({.descriptors = 2}));
  const auto bytes = client.another().refusal({.descriptors = 1, .payload_bytes = 1001});
  ASSERT_TRUE(bytes);
  EXPECT_EQ(bytes->code, ErrorCode::kTooLarge);
  EXPECT_THAT(bytes->message, HasSubstr("limits.client_payload_bytes_max"));
}

TEST_F(ClientAccountTest, AnotherConnectionIsNoWayRoundTheUsersLimit) {
  Charge first = accounts.open(7);
  Charge second = accounts.open(7);
  const Charge stranger = accounts.open(8);
  first.add({.descriptors = 10, .payload_bytes = 1000});
  const auto refused = second.refusal({.descriptors = 6});
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->code, ErrorCode::kBusy);
  EXPECT_THAT(refused->message, HasSubstr("held for user 7"));
  EXPECT_THAT(refused->message, HasSubstr("limits.fds_per_uid_max"));
  EXPECT_FALSE(second.refusal({.descriptors = 5}));
  EXPECT_THAT(second.refusal({.payload_bytes = 501})->message, HasSubstr("limits.payload_bytes_per_uid_max"));
  EXPECT_FALSE(stranger.refusal({.descriptors = 10, .payload_bytes = 1000}));
}

TEST_F(ClientAccountTest, AnswersNotTakenCountAsPayload) {
  Charge client = accounts.open(7);
  client.add({.unread_bytes = 990});
  EXPECT_TRUE(client.another().refusal({.payload_bytes = 11}));
  EXPECT_FALSE(client.another().refusal({.payload_bytes = 10}));
}

TEST_F(ClientAccountTest, WhoHasHalfItsDescriptorsInAnswersShouldReadFirst) {
  Charge client = accounts.open(7);
  client.set({.descriptors = 5});
  EXPECT_FALSE(client.should_read());
  client.set({.descriptors = 6});
  EXPECT_TRUE(client.should_read());
}

TEST_F(ClientAccountTest, DescriptorsThatWereClosedAreAJobsErrorEvenWhenThereIsRoomAgain) {
  Charge client = accounts.open(7);
  EXPECT_EQ(client.dropped(11).code, ErrorCode::kTooLarge);
  EXPECT_EQ(client.dropped(3).code, ErrorCode::kBusy);
  client.set({.descriptors = 9});
  EXPECT_THAT(client.dropped(3).message, HasSubstr("9 descriptors are held"));
}

TEST_F(ClientAccountTest, NobodysChargeHoldsNothingAndIsRefusedNothing) {
  Charge nobody;
  nobody.add({.descriptors = 1'000'000});
  EXPECT_EQ(nobody.amount(), Holding{});
  EXPECT_FALSE(nobody.refusal({.descriptors = 1'000'000, .payload_bytes = UINT64_MAX}));
  EXPECT_EQ(nobody.uid(), kNobodysUid);
  EXPECT_EQ(nobody.split({.descriptors = 1}).amount(), Holding{});
}

TEST(AccountLimits, LeaveTheSupervisorItsOwnDescriptors) {
  const AccountLimits roomy = account_limits({}, 1'000'000, 2'000);
  EXPECT_EQ(roomy.client.descriptors.max, 10'000U);
  EXPECT_EQ(roomy.user.descriptors.max, 30'000U);
  EXPECT_EQ(roomy.descriptors.max, 998'000U);
  const AccountLimits narrow = account_limits({}, 6'000, 2'000);
  EXPECT_EQ(narrow.client.descriptors.max, 1'000U);
  EXPECT_EQ(narrow.user.descriptors.max, 2'000U);
  EXPECT_EQ(narrow.user.descriptors.setting, "RLIMIT_NOFILE of quernd");
  EXPECT_EQ(account_limits({}, 1'000, 2'000).descriptors.max, 250U);
}

// Whatever is done with Charges, in any order: what is held is the sum of them, and nothing at the end.
TEST_F(ClientAccountTest, TheSumIsRightAfterAnything) {
  std::mt19937 random(11);
  const auto upto = [&](std::size_t bound) { return static_cast<std::size_t>(random() % bound); };
  std::vector<Charge> charges;
  for (int step = 0; step < 20'000; ++step) {
    if (charges.size() < 3) charges.push_back(accounts.open(static_cast<uid_t>(upto(3))));
    Charge& one = charges[upto(charges.size())];
    switch (upto(6)) {
      case 0: one.add({.descriptors = upto(9), .payload_bytes = upto(99), .buffer_bytes = upto(99)}); break;
      case 1: one.set({.unread_bytes = upto(99)}); break;
      case 2: charges.push_back(one.another()); break;
      case 3: charges.push_back(one.split({.descriptors = one.amount().descriptors / 2})); break;
      case 4: charges.erase(charges.begin() + static_cast<std::ptrdiff_t>(upto(charges.size()))); break;
      default: one = std::move(charges[upto(charges.size())]); break;
    }
    Holding sum;
    for (const Charge& charge : charges) sum += charge.amount();
    ASSERT_EQ(sum, accounts.held());
  }
  charges.clear();
  EXPECT_EQ(accounts.held(), Holding{});
  EXPECT_EQ(users(), 0U);
}

}  // namespace
}  // namespace quern::supervisor
