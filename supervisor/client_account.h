// ClientAccounts: what each client makes the supervisor hold, and the limits on it; by connection, and by user, or
// a client would open another connection.
//
//     descriptors     received (of a frame or not), of its jobs until they are answered, of shared buffers that it
//                     created or attached, of answers that it has not taken
//     payload_bytes   of its jobs until they are answered: in our memory, in memfds that we made, or in its own
//     buffer_bytes    of shared buffers that it created, until they are freed
//     unread_bytes    of answers that it has not taken, in our memory and in memfds
//
// Each of these is held by a Charge, which stands beside what it is for (in the Job, the SharedBuffer, the Session),
// moves with it, and gives back in its destructor: no way to end can forget it. A job may outlive its connection,
// and a buffer too; the connection's account then lives on with their Charges, and so does the user's.
//
// Limits are asked for where something can still be refused. What can't be any more is only counted: results, and
// what it takes to hand a job to its worker.
//
// Descriptors are all clients' together, too: by the process's own limit, less what the supervisor needs itself.
// What hangs in being closed (fd_closer.h) still counts against its user.
//
// One thread. Every Charge must be gone before the ClientAccounts are.
#pragma once

#include <sys/types.h>

#include <boost/container/static_vector.hpp>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "common/error.h"
#include "supervisor/config.h"
#include "supervisor/fd_closer.h"

namespace quern::supervisor {

struct Holding {
  std::uint64_t descriptors = 0;
  std::uint64_t payload_bytes = 0;
  std::uint64_t buffer_bytes = 0;
  std::uint64_t unread_bytes = 0;
  Holding& operator+=(const Holding& more) noexcept;
  Holding& operator-=(const Holding& less) noexcept;
  friend bool operator==(const Holding&, const Holding&) = default;
};

struct AccountLimits {
  struct Limit {
    std::uint64_t max = UINT64_MAX;
    std::string_view setting{};
  };
  struct Limits {
    Limit descriptors{};
    Limit payload_bytes{};  // answers not taken included
  };
  Limits client{};
  Limits user{};
  Limit descriptors{};  // of all clients
};
// `descriptors_max`: what the process may open (RLIMIT_NOFILE); `own`: what of it the supervisor needs for itself. Of
// the rest no client gets more than a quarter and no user more than half, whatever is configured.
[[nodiscard]] AccountLimits account_limits(const LimitsConfig& limits, std::uint64_t descriptors_max,
                                           std::uint64_t own) noexcept;

// Nobody's: of the supervisor's own jobs. No user has this number.
inline constexpr uid_t kNobodysUid = static_cast<uid_t>(-1);

class ClientAccounts;

// Something held for a client. Movable; given back when destroyed. One made by default is nobody's, and stays empty.
class Charge {
 public:
  Charge() = default;
  Charge(Charge&& other) noexcept
      : account_(std::exchange(other.account_, nullptr)), amount_(std::exchange(other.amount_, {})) {}
  Charge& operator=(Charge&& other) noexcept;
  ~Charge() { give_back(); }

  [[nodiscard]] uid_t uid() const noexcept;
  [[nodiscard]] const Holding& amount() const noexcept { return amount_; }
  // All that is held for this client.
  [[nodiscard]] const Holding& of_client() const noexcept;

  // One more, of the same client, of nothing.
  [[nodiscard]] Charge another() const noexcept { return Charge(account_); }
  // Takes `part`, which it has, out of this one.
  [[nodiscard]] Charge split(const Holding& part) noexcept;
  void add(const Holding& more) noexcept { set(Holding(amount_) += more); }
  void set(const Holding& amount) noexcept;

  // Why `more` can't be had beside what this one has: kTooLarge when both together are above a limit, else kBusy.
  // Nothing: it can.
  [[nodiscard]] std::optional<Error> refusal(const Holding& more) const;
  // The same of descriptors that were closed as they came.
  [[nodiscard]] Error dropped(std::uint64_t descriptors) const;
  // Whether the client should take answers before it asks for more: half of its descriptors are on their way to it.
  [[nodiscard]] bool should_read() const noexcept;

 private:
  friend ClientAccounts;
  struct Account;
  enum class Thing { kDescriptors, kPayloadBytes };
  enum class Whose { kConnections, kUsers, kEverybodys };
  struct Bound {
    Whose whose;
    std::uint64_t held;
    AccountLimits::Limit limit;
  };
  using Bounds = boost::container::static_vector<Bound, 3>;
  [[nodiscard]] Bounds bounds_of(Thing thing) const;
  [[nodiscard]] std::string name_of(Whose whose) const;
  [[nodiscard]] std::optional<Error> refusal(Thing thing, std::uint64_t whole, std::uint64_t more) const;
  explicit Charge(Account* account) noexcept;
  void give_back() noexcept;

  Account* account_ = nullptr;
  Holding amount_{};
};

class ClientAccounts {
 public:
  // `closer` knows what hangs; it outlives this.
  ClientAccounts(const AccountLimits& limits, const FdCloser& closer) noexcept : limits_(limits), closer_(closer) {}
  ClientAccounts(const ClientAccounts&) = delete;
  ClientAccounts& operator=(const ClientAccounts&) = delete;
  ~ClientAccounts();

  // The first Charge of a new client.
  [[nodiscard]] Charge open(uid_t uid);

  [[nodiscard]] const Holding& held() const noexcept { return held_; }
  [[nodiscard]] const AccountLimits& limits() const noexcept { return limits_; }
  // visit(uid, number of accounts, what is held), for each user of whom something is held, or who is connected.
  template <class Visit>
  void for_each_user(Visit visit) const {
    for (const auto& [uid, user] : users_) visit(uid, user.accounts, user.held);
  }

 private:
  friend Charge;
  struct User {
    Holding held{};
    std::uint32_t accounts = 0;
  };
  AccountLimits limits_;
  const FdCloser& closer_;
  Holding held_{};
  std::map<uid_t, User> users_;
};

}  // namespace quern::supervisor
