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
#include <chrono>
#include <cstdint>
#include <memory>
#include <vector>

#include "common/error.h"
#include "common/unique_fd.h"
#include "ipc/channel.h"
#include "ipc/completion_ring.h"
#include "ipc/control.h"
#include "ipc/reservation.h"
#include "ipc/stream_ring.h"
#include "ipc/submission_ring.h"
#include "supervisor/async_event.h"
#include "supervisor/cgroup.h"
#include "supervisor/completion_reader.h"
#include "supervisor/job.h"
#include "supervisor/process.h"
#include "supervisor/process_tree.h"

namespace quern::supervisor {

class WorkerEvents {
 public:
  // `job` has left the worker.
  virtual void on_answer(Worker& worker, Job& job, const WorkerAnswer& answer) = 0;
  // `job` came to the front of the ring: the worker runs it now, or should.
  virtual void on_begun(Job& job) = 0;
  // Nothing is left in the worker's ring but what was taken back from it, which it has yet to pass over.
  virtual void on_emptied(Worker& worker) = 0;
  // Like JobClient's, of a job that streams its result.
  [[nodiscard]] virtual std::size_t stream_room(const Job& job) = 0;
  virtual void on_stream(Job& job, ipc::ByteSpan first, ipc::ByteSpan second) = 0;
  // `job`, which runs, takes at most so much memory from now on; Worker::grant_memory() follows, at once or in time.
  // False: no correct worker says so.
  [[nodiscard]] virtual bool on_memory_wanted(Job& /*job*/, std::uint64_t /*bytes*/) { return false; }
  // The stack asked for with request_stack() is there; stack_of() has it.
  virtual void on_stack(Worker& /*worker*/, Job& /*job*/) {}
  // A turn of answers is over; there may be room for more jobs.
  virtual void on_room(Worker& worker) = 0;

 protected:
  ~WorkerEvents() = default;
};

class Worker {
 public:
  enum class State { kSpawning, kServing, kRetiring, kDead };

  // `memory_budget_bytes`: of its pool; 0: there is none.
  [[nodiscard]] static Result<std::unique_ptr<Worker>> create(boost::asio::io_context& io,
                                                              const ipc::Geometry& geometry, std::uint64_t incarnation,
                                                              WorkerEvents& events, FdCloser* closer = nullptr,
                                                              std::uint64_t memory_budget_bytes = 0);

  // ---- Birth and death (the fleet's business)

  // What the template's kSpawn message carries, in its order. Borrowed.
  [[nodiscard]] std::vector<int> spawn_fds() const;
  // The template has the descriptors now; ours of the worker's ends are closed, so that the death of
  // the worker is the end of the control socket.
  void spawn_sent();
  // `cgroup`: its own, when there is one; the process is in it. `tree`: where to find what its jobs started, when
  // they may; outlives the worker.
  void attach(std::unique_ptr<Process> process, std::optional<CgroupLeaf> cgroup = std::nullopt,
              ProcessTable* tree = nullptr);
  // The template died and nobody knows whether this worker was born: if it was, it exits.
  void abandon() noexcept;
  // From attach() until the process is gone and its last answers are handed up. Returns why it died. One that was
  // killed and is not gone in kDyingMax counts as dead: the kernel lets it wait for a file system that hangs.
  [[nodiscard]] boost::asio::awaitable<Cause> mind();
  // Asks the worker to exit once it has finished what it was given.
  void retire() noexcept;
  static constexpr std::chrono::seconds kDyingMax{5};
  [[nodiscard]] bool given_up() const noexcept { return given_up_pid_ != -1; }
  // SIGKILL, to all that it has started too; `why` becomes the cause of death.
  void kill(Cause why) noexcept;

  // ---- Jobs (the pool's business)

  [[nodiscard]] std::uint32_t in_flight() const noexcept {
    return static_cast<std::uint32_t>(submissions_.next() - completions_.consumed());
  }
  // Of the jobs in flight, payloads included.
  [[nodiscard]] std::uint64_t bytes_in_flight() const noexcept { return bytes_in_flight_; }
  // Copies the job into the next slot and wakes the worker. False when it can't be given here: the
  // worker is not serving, the ring or the control socket is full. An Error is the job's.
  // Requires: attempt numbers and limits are set.
  [[nodiscard]] Result<bool> publish(Job& job, std::int64_t now_ns);
  // Takes back a published job that has not begun. False: it has.
  [[nodiscard]] bool revoke(Job& job) noexcept;
  // Whether it has passed over all that was taken back from it when it was emptied last: by our own record, which
  // take_answers() brings up to date; and by its word, which may be newer, or a lie.
  [[nodiscard]] bool settled() const noexcept { return completions_.consumed() >= emptied_; }
  [[nodiscard]] bool passed_over() const noexcept { return settled() || completions_.completed(emptied_ - 1); }
  // Whether it has answered the job, though nobody may have looked. Once nothing behind the job can be begun any more
  // (revoke), who kills this worker while it is not over kills no other job.
  [[nodiscard]] bool is_over(const Job& job) const noexcept { return completions_.completed(job.position); }
  // Whether the answer to what was published there has been handed up.
  [[nodiscard]] bool has_taken(std::uint64_t position) const noexcept { return completions_.consumed() > position; }
  // Hands up the answers that are there, without waiting for the bell. Kills it if they are none.
  void take_answers() { (void)drain(); }
  // Raises the cancel word for a running job.
  void request_stop(const Job& job) noexcept;
  // The job's client takes bytes of its result again.
  void resume_stream(Job& job);
  // The running job may take the memory that it has asked for.
  void grant_memory() noexcept { memory_.grant(); }
  [[nodiscard]] bool begun(const Job& job) const noexcept { return submissions_.begun(job.position); }
  // The job at the front of the ring, before which there are none but revoked ones; or null.
  [[nodiscard]] Job* running() const noexcept;
  // Calls visit(job) for each job still here, oldest first; visit may revoke it.
  template <class Visit>
  void for_each_job(Visit visit) {
    for (std::uint64_t p = completions_.consumed(); p != submissions_.next(); ++p) {
      if (Job* job = jobs_[channel_.slot(p)]; job != nullptr) visit(*job);
    }
  }
  // Asks the worker where it is in `job`. False: the job is not the one it runs. on_stack follows; never, when
  // the job ends before, or its module blocks the signal: the caller keeps a timeout.
  bool request_stack(const Job& job) noexcept;
  // The addresses last stored for `job`, innermost first, for the names that Fleet::symbolize() gives. Numbers from
  // a worker, so any numbers. False: none are there.
  [[nodiscard]] bool stack_of(const Job& job, std::vector<std::uint64_t>& addresses) const;
  [[nodiscard]] bool progress_of(const Job& job, wire::Progress& progress) const;

  // ---- Facts

  [[nodiscard]] State state() const noexcept { return state_; }
  [[nodiscard]] std::uint64_t incarnation() const noexcept { return incarnation_; }
  [[nodiscard]] pid_t pid() const noexcept { return process_ ? process_->pid() : given_up_pid_; }
  [[nodiscard]] std::uint64_t jobs_done() const noexcept { return jobs_done_; }
  [[nodiscard]] bool retire_asked() const noexcept { return retire_asked_; }
  std::int64_t spawn_requested_ns = 0;
  pid_t template_pid = -1;              // that forked it
  std::int64_t kill_at_ns = INT64_MAX;  // for one that retires, or was emptied
  // The fleet's notes for its replacement.
  std::uint64_t jobs_limit = UINT64_MAX;
  std::int64_t memory_looked_at_ns = 0;
  bool replacement_asked = false;

 private:
  Worker(boost::asio::io_context& io, ipc::Channel channel, unique_fd channel_fd, unique_fd eventfd,
         unique_fd worker_eventfd, ipc::ControlPair control, std::uint64_t incarnation, WorkerEvents& events,
         FdCloser* closer);

  [[nodiscard]] boost::asio::awaitable<Cause> gone();
  [[nodiscard]] boost::asio::awaitable<void> until_given_up();
  void end_deaf() noexcept;

  // worker_answers.cpp
  [[nodiscard]] boost::asio::awaitable<void> watch_completions();
  enum class Turn { kIdle, kMore, kCorrupt };
  Turn drain();
  [[nodiscard]] bool deliver(const ipc::Completion& completion);
  [[nodiscard]] bool pass_on_stream();
  [[nodiscard]] bool pass_on_stream(Job& job);
  [[nodiscard]] bool pass_on_rest(Job& job, const ipc::Completion& completion);
  [[nodiscard]] bool take_reservation(std::uint64_t word);
  void take(const Job& job, const ipc::StreamConsumer::Bytes& bytes);
  void hand_up(Job& job, const ipc::StreamConsumer::Bytes& bytes);
  void wipe(std::uint64_t position) noexcept;
  void wipe(const ipc::StreamConsumer::Bytes& taken) noexcept;
  void announce_front();
  void announce_stack();

  boost::asio::io_context& io_;
  WorkerEvents& events_;
  ipc::Channel channel_;
  ipc::SubmissionProducer submissions_;
  ipc::CompletionConsumer completions_;
  ipc::StreamConsumer stream_;
  ipc::ReservationConsumer memory_;
  std::vector<Job*> jobs_;          // by slot; null: free, or revoked
  std::vector<std::uint8_t> wipe_;  // by slot: what lies there is secret
  std::unique_ptr<Process> process_;
  std::optional<CgroupLeaf> cgroup_;
  ProcessTable* tree_ = nullptr;
  boost::asio::posix::stream_descriptor eventfd_;
  unique_fd control_;
  CompletionReader answers_;
  // until spawn_sent
  unique_fd channel_fd_;
  unique_fd worker_eventfd_;
  unique_fd worker_control_;

  std::uint64_t incarnation_;
  std::uint64_t jobs_done_ = 0;
  std::uint64_t bytes_in_flight_ = 0;
  std::uint64_t emptied_ = 0;     // the position up to which there was nothing left, when there was
  std::uint32_t stack_seen_ = 0;  // the version before the one asked for
  bool stack_asked_ = false;
  Cause killed_for_{};
  AsyncEvent killed_;
  pid_t given_up_pid_ = -1;
  State state_ = State::kSpawning;
  bool retire_asked_ = false;
  bool deaf_ = false;   // killed because its control socket takes nothing
  bool dying_ = false;  // likewise, or it was on its way out already
};

}  // namespace quern::supervisor
