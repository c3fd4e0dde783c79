// Worker: one incarnation of a worker process, as its supervisor sees it: the channel, the jobs
// published in it, and the process.
//
//     kSpawning --attach()--> kServing --retire()--> kRetiring --> (process gone) kDead
//         |                      |                       |
//         +------ abandon() -----+-- any death ----------+
//
// A Worker is owned by its pool's Fleet and is destroyed only after mind() has ended. It calls up
// through WorkerEvents alone. It trusts nothing that it reads from the channel or the control
// socket: the first impossible thing costs the process its life (kChannelCorrupt).
//
// One thread.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "common/error.h"
#include "common/unique_fd.h"
#include "ipc/channel.h"
#include "ipc/completion_ring.h"
#include "ipc/control.h"
#include "ipc/submission_ring.h"
#include "supervisor/job.h"
#include "supervisor/process.h"

namespace quern::supervisor {

// What a worker answered to one job: a result, or the job's error.
struct WorkerAnswer {
  std::uint64_t run_ns = 0;
  std::optional<Error> error{};
  ResultParts result{};  // when there is no error; valid during the call
};

class WorkerEvents {
 public:
  // `job` has left the worker.
  virtual void on_answer(Worker& worker, Job& job, const WorkerAnswer& answer) = 0;
  // `job` came to the front of the ring: the worker runs it now.
  virtual void on_begun(Job& job) = 0;
  // A turn of answers is over; there may be room for more jobs.
  virtual void on_room(Worker& worker) = 0;

 protected:
  ~WorkerEvents() = default;
};

class Worker {
 public:
  enum class State { kSpawning, kServing, kRetiring, kDead };

  [[nodiscard]] static Result<std::unique_ptr<Worker>> create(boost::asio::io_context& io,
                                                              const ipc::Geometry& geometry, std::uint64_t incarnation,
                                                              WorkerEvents& events);

  // ---- Birth and death (the fleet's business)

  // What the template's kSpawn message carries, in its order. Borrowed.
  [[nodiscard]] std::vector<int> spawn_fds() const;
  // The template has the descriptors now; ours of the worker's ends are closed, so that the death of
  // the worker is the end of the control socket.
  void spawn_sent();
  void attach(std::unique_ptr<Process> process);
  // The template died and nobody knows whether this worker was born: if it was, it exits.
  void abandon() noexcept;
  // From attach() until the process is gone and its last answers are handed up. Returns why it died.
  [[nodiscard]] boost::asio::awaitable<Cause> mind();
  // Asks the worker to exit once it has finished what it was given.
  void retire() noexcept;
  // SIGKILL; `why` becomes the cause of death.
  void kill(Cause why) noexcept;

  // ---- Jobs (the pool's business)

  [[nodiscard]] std::uint32_t in_flight() const noexcept {
    return static_cast<std::uint32_t>(submissions_.next() - completions_.consumed());
  }
  // Copies the job into the next slot and wakes the worker. False when it can't be given here: the
  // worker is not serving, the ring or the control socket is full. An Error is the job's.
  // Requires: attempt numbers and limits are set.
  [[nodiscard]] Result<bool> publish(Job& job, std::int64_t now_ns);
  // Takes back a published job that has not begun. False: it has.
  [[nodiscard]] bool revoke(Job& job) noexcept;
  // Raises the cancel word for a running job.
  void request_stop(const Job& job) noexcept;
  [[nodiscard]] bool begun(const Job& job) const noexcept { return submissions_.begun(job.position); }
  // The job at the front of the ring, or null.
  [[nodiscard]] Job* running() const noexcept;
  // Calls visit(job) for each job still here, oldest first; visit may revoke it.
  template <class Visit>
  void for_each_job(Visit visit) {
    for (std::uint64_t p = completions_.consumed(); p != submissions_.next(); ++p) {
      if (Job* job = jobs_[channel_.slot(p)]; job != nullptr) visit(*job);
    }
  }
  [[nodiscard]] bool progress_of(const Job& job, wire::Progress& progress) const noexcept;

  // ---- Facts

  [[nodiscard]] State state() const noexcept { return state_; }
  [[nodiscard]] std::uint64_t incarnation() const noexcept { return incarnation_; }
  [[nodiscard]] pid_t pid() const noexcept { return process_ ? process_->pid() : -1; }
  [[nodiscard]] std::uint64_t jobs_done() const noexcept { return jobs_done_; }
  [[nodiscard]] bool retire_asked() const noexcept { return retire_asked_; }
  std::int64_t spawn_requested_ns = 0;
  std::int64_t kill_at_ns = INT64_MAX;  // a retiring worker's bound

 private:
  Worker(boost::asio::io_context& io, ipc::Channel channel, unique_fd channel_fd, unique_fd eventfd,
         unique_fd worker_eventfd, ipc::ControlPair control, std::uint64_t incarnation, WorkerEvents& events);

  [[nodiscard]] boost::asio::awaitable<void> watch_completions();
  enum class Turn { kIdle, kMore, kCorrupt };
  Turn drain();
  [[nodiscard]] bool deliver(const ipc::Completion& completion);
  [[nodiscard]] bool read_result(const ipc::Completion& completion, WorkerAnswer& answer);
  [[nodiscard]] bool read_error(const ipc::Completion& completion, WorkerAnswer& answer);
  [[nodiscard]] bool receive_result_fds(const ipc::Completion& completion);
  void wipe(std::uint64_t position) noexcept;
  void end_deaf() noexcept;
  void announce_running();

  WorkerEvents& events_;
  ipc::Channel channel_;
  ipc::SubmissionProducer submissions_;
  ipc::CompletionConsumer completions_;
  std::vector<Job*> jobs_;          // by slot; null: free, or revoked
  std::vector<std::uint8_t> wipe_;  // by slot: what lies there is secret
  std::unique_ptr<Process> process_;
  boost::asio::posix::stream_descriptor eventfd_;
  unique_fd control_;
  // until spawn_sent
  unique_fd channel_fd_;
  unique_fd worker_eventfd_;
  unique_fd worker_control_;

  std::vector<ResultParts::Part> parts_;  // reused by read_result
  std::vector<ipc::ResultPart> raw_parts_;
  std::vector<unique_fd> result_fds_;
  ipc::ControlMessage message_;
  std::uint64_t incarnation_;
  std::uint64_t jobs_done_ = 0;
  Cause killed_for_{};
  State state_ = State::kSpawning;
  bool retire_asked_ = false;
  bool deaf_ = false;  // killed because its control socket takes nothing
};

}  // namespace quern::supervisor
