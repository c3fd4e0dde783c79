// Fleet: the lives of one pool's template and workers. It keeps as many workers as asked, replaces
// those that die, and knows nothing of jobs: what becomes of a dead worker's jobs is settled by its
// owner, through FleetEvents.
//
//     start() -> [ resize(), restart(), deaths and replacements ... ] -> stop() -> stopped()
//
// - A death is answered by a replacement at once; deaths in a row back off (backoff.h). The row ends with
//   an answered job, or with kCalm without a death.
// - A worker that has done its jobs, or grown too large, is replaced once its successor serves.
// - A template that dies is started again; its workers live on. What was being born is given up.
// - Where jobs may start programs, what a worker leaves behind is ended after its death
//   (process_tree.h); stopped() waits for that.
// - restart() replaces template and workers one by one, each replacement serving before its
//   predecessor retires.
//
// One thread. Outlives its coroutines: destroy only after stopped() or with the io_context gone.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "common/error.h"
#include "ipc/channel.h"
#include "supervisor/async_event.h"
#include "supervisor/backoff.h"
#include "supervisor/cgroup.h"
#include "supervisor/process.h"
#include "supervisor/process_tree.h"
#include "supervisor/template_process.h"
#include "supervisor/worker.h"

namespace quern::supervisor {

struct FleetOptions {
  TemplateOptions template_options;
  ipc::Geometry geometry{};
  std::uint32_t workers = 1;
  std::uint64_t memory_budget_bytes = 0;   // told to each worker, see ipc/reservation.h; 0: none
  std::uint32_t worker_jobs_max = 0;       // about; 0: no limit
  std::uint64_t worker_rss_bytes_max = 0;  // 0: no limit
  Cgroups* cgroups = nullptr;  // where each worker gets a cgroup of its own; null: there are none. Outlives the fleet
  FdCloser* closer = nullptr;  // of what workers send and nobody wants; outlives the fleet
};

class FleetEvents {
 public:
  virtual void on_serving(Worker& worker) = 0;            // it can be given jobs
  virtual void on_retiring(Worker& worker) = 0;           // what it has not begun should go elsewhere
  virtual void on_dead(Worker& worker, Cause cause) = 0;  // settle its jobs; it is destroyed afterwards

 protected:
  ~FleetEvents() = default;
};

// Counted since start, for status and metrics.
struct FleetFacts {
  std::map<CauseKind, std::uint64_t> deaths{};  // without those that retired as asked
  std::uint64_t respawns = 0;
  std::uint64_t recycled = 0;  // replaced for their age or size
  Cause last_death{};
  pid_t last_death_pid = 0;
  std::int64_t last_respawn_ns = 0;  // from noticing the death to the replacement serving
};

class Fleet final : private TemplateEvents {
 public:
  Fleet(boost::asio::io_context& io, ChildRegistry& registry, FleetOptions options, WorkerEvents& worker_events,
        FleetEvents& events);

  // Starts the template, and the workers once it is loaded. Returns the kinds it serves, or why it can't.
  [[nodiscard]] boost::asio::awaitable<Result<std::vector<LoadedKind>>> start();

  // Grows at once; shrinks by retiring the least busy, which finish what they have begun.
  void resize(std::uint32_t workers);
  // Rolling restart. Ends when no worker of before is taking jobs. kBusy while another one goes on.
  [[nodiscard]] boost::asio::awaitable<Result<void>> restart();

  // A job was answered: the pool works, a row of deaths is over. The worker may be due for replacement.
  void job_finished(Worker& worker);
  // Names for `addresses` in `worker`'s code, a line each (worker/symbols.h). An Error when the template that forked
  // the worker is gone, or goes meanwhile.
  [[nodiscard]] boost::asio::awaitable<Result<std::vector<std::string>>> symbolize(
      const Worker& worker, std::span<const std::uint64_t> addresses);

  // Retires every worker and ends the template.
  void stop();
  void kill_all(Cause why) noexcept;
  [[nodiscard]] boost::asio::awaitable<void> stopped();

  [[nodiscard]] std::span<const std::unique_ptr<Worker>> workers() const noexcept { return workers_; }
  [[nodiscard]] std::uint32_t target() const noexcept { return options_.workers; }
  [[nodiscard]] const FleetFacts& facts() const noexcept { return facts_; }
  [[nodiscard]] Backoff::Duration backoff_delay() const noexcept { return backoff_.delay(); }
  // What bounds the workers' memory: the cgroup when the pool has a cap and there are cgroups, else the address space.
  [[nodiscard]] MemoryCap memory_cap() const noexcept;
  [[nodiscard]] bool template_alive() const noexcept { return template_ != nullptr; }
  // Deaths in a row are being delayed, or there is no template.
  [[nodiscard]] bool degraded() const noexcept { return backoff_.delay().count() > 0 || template_ == nullptr; }
  // Degraded, and without a worker that serves or is being born.
  [[nodiscard]] bool down() const noexcept;
  [[nodiscard]] std::uint32_t ms_to_next_start() const noexcept;  // when down; at least 1

 private:
  // TemplateEvents
  void on_spawned(std::uint64_t incarnation, pid_t pid, unique_fd pidfd) override;
  void on_spawn_failed(std::uint64_t incarnation, int error_number) override;
  void on_symbols(std::uint64_t id, std::vector<std::string> lines) override;

  void adopt(std::unique_ptr<TemplateProcess> fresh);
  [[nodiscard]] boost::asio::awaitable<void> mind_template(std::unique_ptr<TemplateProcess> process);
  [[nodiscard]] boost::asio::awaitable<void> revive_template();
  [[nodiscard]] boost::asio::awaitable<void> mind_worker(Worker& worker);
  // Starts a worker, waits until it serves, and retires `incarnation`. False: its successor did not come to serve.
  [[nodiscard]] boost::asio::awaitable<bool> replace(std::uint64_t incarnation);
  [[nodiscard]] boost::asio::awaitable<void> recycle(std::uint64_t incarnation);
  [[nodiscard]] bool due_for_replacement(Worker& worker) const;
  void calm_down();

  [[nodiscard]] boost::asio::awaitable<void> clear_up();
  [[nodiscard]] std::optional<CgroupLeaf> confine(pid_t pid);
  void fill();
  Worker* spawn_one();
  void retry_later(Backoff::Duration delay);
  void retire(Worker& worker);
  void record_death(const Worker& worker, Cause cause);
  [[nodiscard]] Worker* find(std::uint64_t incarnation) const noexcept;
  [[nodiscard]] std::uint32_t live() const noexcept;  // spawning or serving
  void erase(const Worker& worker);
  [[nodiscard]] double random() { return std::uniform_real_distribution<double>()(rng_); }

  boost::asio::io_context& io_;
  ChildRegistry& registry_;
  FleetOptions options_;
  WorkerEvents& worker_events_;
  FleetEvents& events_;

  ProcFs processes_;                     // of the machine; looked at where jobs may start programs
  TemplateProcess* template_ = nullptr;  // owned by its mind_template coroutine
  std::vector<std::unique_ptr<Worker>> workers_;
  std::map<std::uint64_t, std::optional<std::vector<std::string>>> symbols_;  // asked for, and come
  std::uint64_t next_symbols_ = 1;
  std::vector<LoadedKind> kinds_;
  std::uint32_t templates_alive_ = 0;
  std::uint64_t next_incarnation_ = 1;
  std::uint32_t surplus_ = 0;  // workers beyond options_.workers that replacements may add
  bool restarting_ = false;
  bool stopping_ = false;
  bool cgroups_failed_ = false;
  bool clearing_up_ = false;

  Backoff backoff_;
  Backoff template_backoff_;
  std::int64_t not_before_ns_ = 0;
  std::int64_t death_noticed_ns_ = 0;
  boost::asio::steady_timer retry_timer_;
  boost::asio::steady_timer calm_timer_;
  AsyncEvent changed_;
  FleetFacts facts_;
  std::minstd_rand rng_{std::random_device{}()};
};

}  // namespace quern::supervisor
