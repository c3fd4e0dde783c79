#include "supervisor/receive_budget.h"

namespace quern::supervisor {

// Somebody's turn in a line.
class ReceiveBudget::Place {
 public:
  Place(ReceiveBudget& budget, Lane& lane, std::uint64_t bytes)
      : budget_(budget), lane_(lane), at_(lane.line.insert(lane.line.end(), bytes)) {}
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;
  ~Place() {
    lane_.line.erase(at_);
    budget_.changed_.notify_all();  // who was behind may be first now
  }
  [[nodiscard]] bool is_served() const noexcept {
    return at_ == lane_.line.begin() && (lane_.used == 0 || lane_.used + *at_ <= lane_.bytes_max);
  }

 private:
  ReceiveBudget& budget_;
  Lane& lane_;
  std::list<std::uint64_t>::iterator at_;
};

ReceiveBudget::Share::~Share() {
  if (budget_ == nullptr) return;
  lane_->used -= bytes_;
  budget_->changed_.notify_all();
}

boost::asio::awaitable<ReceiveBudget::Share> ReceiveBudget::reserve(std::uint64_t bytes) {
  Lane& lane = bytes <= within_.bytes_max ? within_ : beside_;
  const Place place(*this, lane, bytes);
  while (!place.is_served()) co_await changed_.wait();
  lane.used += bytes;
  co_return Share(*this, lane, bytes);
}

}  // namespace quern::supervisor
