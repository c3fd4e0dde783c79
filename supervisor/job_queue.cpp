#include "supervisor/job_queue.h"

#include <algorithm>
#include <bit>
#include <utility>

namespace quern::supervisor {
namespace {

// Flows kept for the next client that comes; one is about a kilobyte.
constexpr std::size_t kSpareFlowsMax = 64;

}  // namespace

bool JobQueue::full(std::uint64_t client_id, std::uint64_t bytes) const noexcept {
  if (size_ == 0 || client_id == kOwnClientId) return false;
  return size_ >= limits_.jobs_max || no_room_for(bytes) || has_its_share(client_id, bytes);
}

bool JobQueue::no_room_for(std::uint64_t bytes) const noexcept {
  return size_ > 0 && bytes_ + bytes > limits_.bytes_max;
}

bool JobQueue::has_its_share(std::uint64_t client_id, std::uint64_t bytes) const noexcept {
  const auto at = flows_.find(client_id);
  if (at == flows_.end()) return false;
  const Flow& flow = *at->second;
  const std::uint64_t free_bytes = limits_.bytes_max - std::min(bytes_, limits_.bytes_max);
  return flow.jobs >= kShareOfFree * (limits_.jobs_max - std::min(size_, limits_.jobs_max)) ||
         flow.bytes + bytes > kShareOfFree * free_bytes;
}

bool JobQueue::overtakes(const Job& job) const noexcept {
  if (job.client_id == kOwnClientId) return false;
  for (const Job& waiting : line_) {
    if (&waiting == &job) return false;
    // with no room at all, whose share it would be does not matter
    if (no_room_for(waiting.payload_bytes) || !has_its_share(waiting.client_id, waiting.payload_bytes)) return true;
  }
  return false;
}

void JobQueue::stand_in_line(Job& job) noexcept {
  if (job.line_hook.is_linked()) return;
  if (!line_.empty() || no_room_for(job.payload_bytes)) line_.push_back(job);
}

bool JobQueue::leave_line(Job& job) noexcept {
  if (!job.line_hook.is_linked()) return false;
  job.line_hook.unlink();
  return true;
}

JobQueue::Flow& JobQueue::flow_of(std::uint64_t client_id) {
  std::unique_ptr<Flow>& flow = flows_[client_id];
  if (!flow) {
    if (spare_flows_.empty()) {
      flow = std::make_unique<Flow>();
    } else {
      flow = std::move(spare_flows_.back());
      spare_flows_.pop_back();
    }
  }
  return *flow;
}

void JobQueue::add(Job& job, bool front) {
  Flow& flow = flow_of(job.client_id);
  Level& level = levels_[job.priority];
  Turn& turn = flow.turns[job.priority];
  if (turn.jobs.empty()) level.turns.insert(front ? level.turns.begin() : level.turns.end(), turn);
  turn.jobs.insert(front ? turn.jobs.begin() : turn.jobs.end(), job);
  level.arrivals.insert(front ? level.arrivals.begin() : level.arrivals.end(), job);
  occupied_ |= 1U << job.priority;
  ++flow.jobs;
  flow.bytes += job.payload_bytes;
  ++size_;
  bytes_ += job.payload_bytes;
  work_ns_ += job.expected_run_ns;
}

void JobQueue::remove(Job& job) noexcept {
  const auto at = flows_.find(job.client_id);
  Flow& flow = *at->second;
  Level& level = levels_[job.priority];
  Turn& turn = flow.turns[job.priority];
  turn.jobs.erase(Jobs::s_iterator_to(job));
  level.arrivals.erase(Arrivals::s_iterator_to(job));
  if (turn.jobs.empty()) level.turns.erase(level.turns.iterator_to(turn));
  if (level.arrivals.empty()) occupied_ &= ~(1U << job.priority);
  --flow.jobs;
  flow.bytes -= job.payload_bytes;
  --size_;
  bytes_ -= job.payload_bytes;
  work_ns_ = size_ == 0 ? 0 : std::max(0.0, work_ns_ - job.expected_run_ns);
  if (flow.jobs == 0) {
    if (spare_flows_.size() < kSpareFlowsMax) spare_flows_.push_back(std::move(at->second));
    flows_.erase(at);
  }
}

// The highest priority, or a lower one whose oldest job has waited so long that it counts for more.
std::size_t JobQueue::next_level(std::int64_t now_ns, bool& aged) const noexcept {
  const std::size_t highest = static_cast<std::size_t>(std::bit_width(occupied_)) - 1;
  aged = false;
  if (limits_.aging_ns == 0 || std::has_single_bit(occupied_)) return highest;
  const auto standing = [&](std::size_t level) {
    const std::int64_t waited = now_ns - levels_[level].arrivals.front().accepted_ns;
    return static_cast<std::int64_t>(level) + waited / limits_.aging_ns;
  };
  std::size_t best = highest;
  std::int64_t best_standing = standing(highest);
  for (std::uint32_t rest = occupied_ & ~(1U << highest); rest != 0; rest &= rest - 1) {
    const auto level = static_cast<std::size_t>(std::countr_zero(rest));
    if (const std::int64_t stands = standing(level); stands > best_standing) {
      best = level;
      best_standing = stands;
    }
  }
  aged = best != highest;
  return best;
}

Job& JobQueue::pop(std::int64_t now_ns) noexcept {
  bool aged = false;
  Level& level = levels_[next_level(now_ns, aged)];
  if (aged) {
    Job& oldest = level.arrivals.front();
    remove(oldest);
    return oldest;
  }
  Turn& turn = level.turns.front();
  level.turns.splice(level.turns.end(), level.turns, level.turns.iterator_to(turn));
  Job& job = turn.jobs.front();
  remove(job);
  return job;
}

}  // namespace quern::supervisor
