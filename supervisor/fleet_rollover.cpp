// The half of Fleet that changes how many workers there are, and replaces those that live: for their age, their size,
// or because an operator asks.
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <utility>

#include "common/clock.h"
#include "supervisor/fleet.h"
#include "supervisor/memory_use.h"

namespace quern::supervisor {

namespace asio = boost::asio;

namespace {

// A retiring worker without a job has nothing to do but exit.
constexpr std::int64_t kRetireGraceNs = 2'000'000'000;
// How often a worker's memory is looked at, at most.
constexpr std::int64_t kMemoryLookNs = 1'000'000'000;

}  // namespace

void Fleet::resize(std::uint32_t workers) {
  options_.workers = workers;
  while (live() > options_.workers) {
    Worker* least_busy = nullptr;
    for (const auto& worker : workers_) {
      if (worker->state() != Worker::State::kServing) continue;
      if (least_busy == nullptr || worker->in_flight() < least_busy->in_flight()) least_busy = worker.get();
    }
    if (least_busy == nullptr) break;  // the rest are being born, and retire then
    retire(*least_busy);
  }
  fill();
  changed_.notify_all();
}

void Fleet::job_finished(Worker& worker) {
  if (backoff_.deaths_in_a_row() > 0) calm_down();
  if (worker.state() == Worker::State::kDead) return;  // its last answers
  if (worker.replacement_asked || stopping_ || !due_for_replacement(worker)) return;
  worker.replacement_asked = true;
  asio::co_spawn(io_, recycle(worker.incarnation()), asio::detached);
}

bool Fleet::due_for_replacement(Worker& worker) const {
  if (worker.jobs_done() >= worker.jobs_limit) return true;
  if (options_.worker_rss_bytes_max == 0) return false;
  const std::int64_t now = now_ns();
  if (now - worker.memory_looked_at_ns < kMemoryLookNs) return false;
  worker.memory_looked_at_ns = now;
  return resident_bytes(worker.pid()) > options_.worker_rss_bytes_max;
}

asio::awaitable<void> Fleet::recycle(std::uint64_t incarnation) {
  ++surplus_;
  const bool replaced = co_await replace(incarnation);
  --surplus_;
  if (replaced) {
    ++facts_.recycled;
  } else if (Worker* worker = find(incarnation); worker != nullptr) {
    worker->replacement_asked = false;  // it stays until a successor can be born
  }
  fill();
}

void Fleet::retire(Worker& worker) {
  worker.retire();
  worker.kill_at_ns = now_ns() + kRetireGraceNs;
  events_.on_retiring(worker);
}

asio::awaitable<Result<void>> Fleet::restart() {
  if (restarting_ || stopping_) {
    co_return Error{.code = ErrorCode::kBusy, .message = "the pool is being restarted or stopped already"};
  }
  restarting_ = true;
  auto fresh = TemplateProcess::start(io_, registry_, options_.template_options);
  Result<std::vector<LoadedKind>> kinds = std::vector<LoadedKind>{};
  if (fresh) kinds = co_await (*fresh)->load();
  if (!fresh || !kinds || *kinds != kinds_ || stopping_) {
    restarting_ = false;
    if (!fresh) co_return fresh.error();
    if (!kinds) co_return kinds.error();
    co_return Error{.code = ErrorCode::kUnavailable,
                    .message = "the pool's modules describe other kinds than before; restart quernd to load them"};
  }
  if (template_ != nullptr) template_->kill();
  template_backoff_.reset();
  adopt(std::move(*fresh));
  std::vector<std::uint64_t> old;
  for (const auto& worker : workers_) old.push_back(worker->incarnation());
  ++surplus_;
  for (const std::uint64_t incarnation : old) {
    if (stopping_ || co_await replace(incarnation)) continue;
    // the new template bears no workers: the old ones must go all the same
    if (Worker* worker = find(incarnation); worker != nullptr && worker->state() == Worker::State::kServing) {
      retire(*worker);
    }
  }
  --surplus_;
  restarting_ = false;
  fill();
  co_return Result<void>();
}

asio::awaitable<bool> Fleet::replace(std::uint64_t incarnation) {
  const auto serving = [&](std::uint64_t which) {
    const Worker* worker = find(which);
    return worker != nullptr && worker->state() == Worker::State::kServing;
  };
  if (!serving(incarnation)) co_return true;  // it died or retired meanwhile, and fill() replaced it
  const Worker* fresh = template_ != nullptr ? spawn_one() : nullptr;
  const std::uint64_t fresh_incarnation = fresh != nullptr ? fresh->incarnation() : 0;
  while (!stopping_ && find(fresh_incarnation) != nullptr && !serving(fresh_incarnation)) co_await changed_.wait();
  if (stopping_ || !serving(fresh_incarnation)) co_return false;
  if (Worker* worker = find(incarnation); worker != nullptr && worker->state() == Worker::State::kServing) {
    retire(*worker);
  }
  co_return true;
}

}  // namespace quern::supervisor
