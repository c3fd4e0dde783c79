#include "supervisor/client_account.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>

#include "common/sizes.h"

namespace quern::supervisor {

// Of one connection; there while it has Charges.
struct Charge::Account {
  ClientAccounts& all;
  uid_t uid;
  ClientAccounts::User& user;  // a map's element: stays where it is
  Holding held{};
  std::uint64_t charges = 0;
};

Holding& Holding::operator+=(const Holding& more) noexcept {
  descriptors += more.descriptors;
  payload_bytes += more.payload_bytes;
  buffer_bytes += more.buffer_bytes;
  unread_bytes += more.unread_bytes;
  return *this;
}

Holding& Holding::operator-=(const Holding& less) noexcept {
  descriptors -= less.descriptors;
  payload_bytes -= less.payload_bytes;
  buffer_bytes -= less.buffer_bytes;
  unread_bytes -= less.unread_bytes;
  return *this;
}

AccountLimits account_limits(const LimitsConfig& limits, std::uint64_t descriptors_max, std::uint64_t own) noexcept {
  // a process that may open next to nothing still serves, as well as it can
  const std::uint64_t floor = descriptors_max / 4;
  const std::uint64_t all = descriptors_max > own + floor ? descriptors_max - own : floor;
  const auto at_most = [](std::uint64_t configured, std::uint64_t most, std::string_view setting) {
    return configured <= most ? AccountLimits::Limit{configured, setting}
                              : AccountLimits::Limit{most, "RLIMIT_NOFILE of quernd"};
  };
  return {.client = {.descriptors = at_most(limits.client_fds_max, all / 4, "limits.client_fds_max"),
                     .payload_bytes = {limits.client_payload_bytes_max, "limits.client_payload_bytes_max"}},
          .user = {.descriptors = at_most(limits.fds_per_uid_max, all / 2, "limits.fds_per_uid_max"),
                   .payload_bytes = {limits.payload_bytes_per_uid_max, "limits.payload_bytes_per_uid_max"}},
          .descriptors = {all, "RLIMIT_NOFILE of quernd"}};
}

// ---- Charge ----------------------------------------------------------------------------------------

Charge::Charge(Account* account) noexcept : account_(account) {
  if (account_ != nullptr) ++account_->charges;
}

Charge& Charge::operator=(Charge&& other) noexcept {
  if (this == &other) return *this;
  give_back();
  account_ = std::exchange(other.account_, nullptr);
  amount_ = std::exchange(other.amount_, {});
  return *this;
}

uid_t Charge::uid() const noexcept { return account_ == nullptr ? kNobodysUid : account_->uid; }

const Holding& Charge::of_client() const noexcept { return account_ == nullptr ? amount_ : account_->held; }

Charge Charge::split(const Holding& part) noexcept {
  Charge split(account_);
  if (account_ == nullptr) return split;
  amount_ -= part;
  split.amount_ = part;
  return split;
}

void Charge::set(const Holding& amount) noexcept {
  if (account_ == nullptr) return;
  for (Holding* held : {&account_->held, &account_->user.held, &account_->all.held_}) {
    *held -= amount_;
    *held += amount;
  }
  amount_ = amount;
}

void Charge::give_back() noexcept {
  if (account_ == nullptr) return;
  set({});
  Account* account = std::exchange(account_, nullptr);
  if (--account->charges > 0) return;
  auto& users = account->all.users_;
  if (--account->user.accounts == 0) users.erase(account->uid);
  delete account;
}

// ---- Limits ----------------------------------------------------------------------------------------

// Each job asks: nothing is allocated.
Charge::Bounds Charge::bounds_of(Thing thing) const {
  const ClientAccounts& all = account_->all;
  const AccountLimits& limits = all.limits_;
  Bounds bounds;
  const auto add = [&](Whose whose, const Holding& held, const AccountLimits::Limit& limit, std::uint64_t hanging) {
    const std::uint64_t count =
        thing == Thing::kDescriptors ? held.descriptors + hanging : held.payload_bytes + held.unread_bytes;
    bounds.push_back({whose, count, limit});
  };
  const bool fds = thing == Thing::kDescriptors;
  add(Whose::kConnections, account_->held, fds ? limits.client.descriptors : limits.client.payload_bytes, 0);
  add(Whose::kUsers, account_->user.held, fds ? limits.user.descriptors : limits.user.payload_bytes,
      fds ? all.closer_.pending(account_->uid) : 0);
  if (fds) add(Whose::kEverybodys, all.held_, limits.descriptors, all.closer_.pending());
  return bounds;
}

std::string Charge::name_of(Whose whose) const {
  switch (whose) {
    case Whose::kConnections: return "this connection";
    case Whose::kUsers: return fmt::format("user {}", account_->uid);
    case Whose::kEverybodys: break;
  }
  return "all clients";
}

std::optional<Error> Charge::refusal(Thing thing, std::uint64_t whole, std::uint64_t more) const {
  const auto text = [&](std::uint64_t n) {
    return thing == Thing::kDescriptors ? fmt::format("{} descriptors", n) : format_size(n);
  };
  for (const Bound& bound : bounds_of(thing)) {
    const auto& [max, setting] = bound.limit;
    if (whole > max) {
      return Error{.code = ErrorCode::kTooLarge,
                   .message = fmt::format("{} are more than {} may have held at all: {} ({})", text(whole),
                                          name_of(bound.whose), text(max), setting),
                   .field = "parts"};
    }
    if (bound.held > max || more > max - bound.held) {
      return Error{.code = ErrorCode::kBusy,
                   .message = fmt::format("{} are held for {}, and {} more are above its limit of {} ({}); try again "
                                          "when earlier jobs are answered, and their answers are taken",
                                          text(bound.held), name_of(bound.whose), text(more), text(max), setting),
                   .field = "parts"};
    }
  }
  return std::nullopt;
}

std::optional<Error> Charge::refusal(const Holding& more) const {
  if (account_ == nullptr) return std::nullopt;
  std::optional<Error> refused;
  if (more.descriptors > 0) {
    refused = refusal(Thing::kDescriptors, amount_.descriptors + more.descriptors, more.descriptors);
  }
  if (!refused && more.payload_bytes > 0) {
    refused = refusal(Thing::kPayloadBytes, amount_.payload_bytes + more.payload_bytes, more.payload_bytes);
  }
  return refused;
}

Error Charge::dropped(std::uint64_t descriptors) const {
  if (account_ != nullptr) {
    if (auto refused = refusal(Thing::kDescriptors, descriptors, descriptors)) return std::move(*refused);
  }
  return Error{.code = ErrorCode::kBusy,  // others have given some back since
               .message = fmt::format("there was no room for this job's {} descriptors when they came "
                                      "(limits.client_fds_max, limits.fds_per_uid_max); there is now",
                                      descriptors),
               .field = "parts"};
}

bool Charge::should_read() const noexcept {
  return account_ != nullptr && amount_.descriptors > account_->all.limits_.client.descriptors.max / 2;
}

// ---- ClientAccounts --------------------------------------------------------------------------------

ClientAccounts::~ClientAccounts() { assert(users_.empty()); }

Charge ClientAccounts::open(uid_t uid) {
  User& user = users_[uid];
  ++user.accounts;
  return Charge(new Charge::Account{.all = *this, .uid = uid, .user = user});
}

}  // namespace quern::supervisor
