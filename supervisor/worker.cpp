#include "supervisor/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstring>
#include <utility>

#include "ipc/doorbell.h"
#include "ipc/memfd.h"

namespace quern::supervisor {

namespace asio = boost::asio;

namespace {

// The least there is, which the kernel makes a handful of packets. The kernel counts the descriptors on
// their way for all processes of a user together, and refuses more: what a hostile worker sends and we
// never read must not leave the workers of other pools without any. It can't change this: setsockopt
// is not among its system calls.
constexpr int kWorkerSendBytes = 1;

}  // namespace

// ---- Birth and death -----------------------------------------------------------------------------

Result<std::unique_ptr<Worker>> Worker::create(asio::io_context& io, const ipc::Geometry& geometry,
                                               std::uint64_t incarnation, WorkerEvents& events, FdCloser* closer,
                                               std::uint64_t memory_budget_bytes) {
  auto created = ipc::Channel::create(geometry, incarnation);
  if (!created) return created.error();
  created->channel.header().memory_budget_bytes = memory_budget_bytes;
  unique_fd eventfd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!eventfd) return system_error("eventfd", "", errno);
  unique_fd worker_eventfd(::fcntl(eventfd.get(), F_DUPFD_CLOEXEC, 0));
  if (!worker_eventfd) return system_error("fcntl(F_DUPFD_CLOEXEC)", "eventfd", errno);
  auto control = ipc::make_control_pair();
  if (!control) return control.error();
  // only our end: a worker may wait for the descriptors of its job
  if (::fcntl(control->supervisor.get(), F_SETFL, O_NONBLOCK) != 0) return system_error("fcntl", "control", errno);
  if (::setsockopt(control->child.get(), SOL_SOCKET, SO_SNDBUF, &kWorkerSendBytes, sizeof kWorkerSendBytes) != 0) {
    return system_error("setsockopt(SO_SNDBUF)", "control", errno);
  }
  return std::unique_ptr<Worker>(new Worker(io, std::move(created->channel), std::move(created->fd), std::move(eventfd),
                                            std::move(worker_eventfd), std::move(*control), incarnation, events,
                                            closer));
}

Worker::Worker(asio::io_context& io, ipc::Channel channel, unique_fd channel_fd, unique_fd eventfd,
               unique_fd worker_eventfd, ipc::ControlPair control, std::uint64_t incarnation, WorkerEvents& events,
               FdCloser* closer)
    : io_(io),
      events_(events),
      channel_(std::move(channel)),
      submissions_(channel_),
      completions_(channel_),
      stream_(channel_),
      memory_(channel_),
      jobs_(channel_.geometry().slots, nullptr),
      wipe_(channel_.geometry().slots, 0),
      eventfd_(io, eventfd.release()),
      control_(std::move(control.supervisor)),
      answers_(channel_, control_.get(), closer),
      channel_fd_(std::move(channel_fd)),
      worker_eventfd_(std::move(worker_eventfd)),
      worker_control_(std::move(control.child)),
      incarnation_(incarnation),
      killed_(io) {}

std::vector<int> Worker::spawn_fds() const { return {channel_fd_.get(), worker_eventfd_.get(), worker_control_.get()}; }

void Worker::spawn_sent() {
  channel_fd_.reset();
  worker_eventfd_.reset();
  worker_control_.reset();
}

void Worker::attach(std::unique_ptr<Process> process, std::optional<CgroupLeaf> cgroup, ProcessTable* tree) {
  process_ = std::move(process);
  if (cgroup) cgroup_.emplace(std::move(*cgroup));
  tree_ = tree;
  state_ = State::kServing;
}

void Worker::abandon() noexcept {
  retire();
  state_ = State::kDead;
}

void Worker::retire() noexcept {
  retire_asked_ = true;
  channel_.header().lifecycle.store(static_cast<std::uint32_t>(ipc::Lifecycle::kRetire), std::memory_order_seq_cst);
  ipc::ring_worker(channel_.header());
  if (state_ == State::kServing) state_ = State::kRetiring;
}

void Worker::kill(Cause why) noexcept {
  if (killed_for_.kind == CauseKind::kNone) killed_for_ = why;
  const bool killed_whole = cgroup_ && cgroup_->kill();
  if (tree_ != nullptr && process_ && !killed_whole && state_ != State::kDead) kill_tree(*tree_, process_->pid());
  if (process_) process_->kill(SIGKILL);
  killed_.notify_all();
}

// A worker that dies closes its socket a moment before its pidfd tells, and how it died is still the cause.
// One that lives on without it, or has left in it what it said it had done, would hold up its pool's queue.
void Worker::end_deaf() noexcept {
  if (!process_) return;  // given up
  const auto process = ProcFs().read(process_->pid());
  deaf_ = deaf_ || (process && !process->exiting);
  dying_ = true;
  process_->kill(SIGKILL);
  killed_.notify_all();
}

asio::awaitable<Cause> Worker::mind() {
  using namespace asio::experimental::awaitable_operators;
  // ends with the process; the watch is cancelled then
  const auto ended = co_await (gone() || watch_completions());
  Cause cause = ended.index() == 0 ? std::get<0>(ended) : co_await gone();
  state_ = State::kDead;  // before its last answers make room for more
  while (killed_for_.kind != CauseKind::kChannelCorrupt && drain() == Turn::kMore) {
  }
  if (cause.kind == CauseKind::kSignaled && channel_.header().allocation_failed.load(std::memory_order_acquire) == 1) {
    cause = {CauseKind::kOutOfMemory, 0};  // its own word, worker/memory_note.h
  }
  if (cgroup_) {
    (void)cgroup_->kill();  // whatever it has left behind
    if (cause == Cause{CauseKind::kSignaled, SIGKILL} && cgroup_->oom_kills() > 0) {
      cause = {CauseKind::kOutOfMemory, 0};
    }
  }
  if (killed_for_.kind != CauseKind::kNone) cause = killed_for_;
  if (deaf_ && cause == Cause{CauseKind::kSignaled, SIGKILL}) cause = {CauseKind::kChannelCorrupt, 0};
  co_return cause;
}

// Until the process is, or is given up for gone.
asio::awaitable<Cause> Worker::gone() {
  using namespace asio::experimental::awaitable_operators;
  const auto ended = co_await (process_->exit() || until_given_up());
  if (ended.index() == 0) co_return std::get<0>(ended);
  given_up_pid_ = process_->pid();
  Process::reap_some_day(io_, std::move(process_));
  co_return Cause{CauseKind::kSignaled, SIGKILL};
}

asio::awaitable<void> Worker::until_given_up() {
  while (killed_for_.kind == CauseKind::kNone && !dying_) co_await killed_.wait();
  asio::steady_timer patience(eventfd_.get_executor(), kDyingMax);
  co_await patience.async_wait(asio::use_awaitable);
}

// ---- Jobs ------------------------------------------------------------------------------------------

Result<bool> Worker::publish(Job& job, std::int64_t now_ns) {
  if (state_ != State::kServing || in_flight() >= channel_.geometry().slots) return false;
  const std::uint64_t position = submissions_.next();
  ipc::Submission submission{
      .job_id = job.id,
      .result_bytes_max = job.result_bytes_max,
      .kind = job.kind->index,
      .attempt = job.attempts + 1,
      .body_bytes = static_cast<std::uint32_t>(job.body_bytes()),
      .fd_count = static_cast<std::uint16_t>(job.fds.size() + job.shared.size() + (job.output_file ? 1 : 0)),
      .shared_buffers = static_cast<std::uint8_t>(job.shared.size()),
      .output_file = job.output_file.valid(),
      .stream = job.stream};
  const auto input = channel_.input(position);
  if (job.body_fd_bytes == 0 && job.body.size() <= input.size()) {
    std::memcpy(input.data(), job.body.data(), job.body.size());
  } else {
    if (!job.body_fd) {
      auto copied = ipc::memfd_from("job-body", job.body);
      if (!copied) return copied.error();
      job.body_fd = std::move(*copied);
      job.charge.add({.descriptors = 1});
    }
    submission.body_in_fd = true;
    ++submission.fd_count;
  }
  if (submission.fd_count > 0) {
    std::vector<int> fds;
    if (submission.body_in_fd) fds.push_back(job.body_fd.get());
    for (const unique_fd& fd : job.fds) fds.push_back(fd.get());
    for (const BufferRef& buffer : job.shared) fds.push_back(buffer->memfd.get());
    if (job.output_file) fds.push_back(job.output_file.get());
    const auto sent = ipc::send_control(control_.get(), {.type = ipc::ControlType::kJobFds, .id = position}, {}, fds);
    if (!sent) return sent.error();
    if (sent->status != ipc::IoStatus::kDone) {
      // Full, while it still has jobs to receive: its next answer makes room. Else there is no next answer.
      if (sent->status == ipc::IoStatus::kClosed || running() == nullptr) end_deaf();
      return false;
    }
  }
  const std::uint32_t slot = channel_.slot(position);
  jobs_[slot] = &job;
  wipe_[slot] = job.kind->sensitive ? 1 : 0;
  bytes_in_flight_ += job.payload_bytes;
  job.worker = this;
  job.position = position;
  job.published_ns = now_ns;
  submissions_.publish(submission);
  ipc::ring_worker(channel_.header());
  announce_front();
  return true;
}

bool Worker::revoke(Job& job) noexcept {
  if (!submissions_.revoke(job.position)) return false;
  jobs_[channel_.slot(job.position)] = nullptr;
  bytes_in_flight_ -= job.payload_bytes;
  job.worker = nullptr;
  announce_front();  // the next one has nothing before it now
  return true;
}

void Worker::request_stop(const Job& job) noexcept {
  channel_.header().cancel.store(job.position + 1, std::memory_order_seq_cst);  // a hint, polled
  ipc::ring_stream(channel_.header());                                          // where it may wait, instead of polling
  ipc::ring_memory(channel_.header());
}

Job* Worker::running() const noexcept {
  for (std::uint64_t p = completions_.consumed(); p != submissions_.next(); ++p) {
    if (Job* job = jobs_[channel_.slot(p)]; job != nullptr) return job;
  }
  return nullptr;
}

bool Worker::request_stack(const Job& job) noexcept {
  if (running() != &job || !process_) return false;
  stack_seen_ = channel_.header().stack_version.load(std::memory_order_relaxed);
  stack_asked_ = true;
  process_->kill(ipc::stack_signal());
  return true;
}

bool Worker::stack_of(const Job& job, std::vector<std::uint64_t>& addresses) const {
  ipc::StackView stack;
  if (!ipc::load_stack(channel_.header(), job.position, stack)) return false;
  addresses.assign(stack.addresses.begin(), stack.addresses.begin() + stack.depth);
  return true;
}

bool Worker::progress_of(const Job& job, wire::Progress& progress) const {
  ipc::ProgressView view;
  if (!ipc::load_progress(channel_.header(), job.position, view)) return false;
  static_assert(ipc::kProgressMessageBytesMax == wire::kProgressMessageBytesMax);
  progress = {.done = view.done, .total = view.total, .message = std::string(view.message_text())};
  return true;
}

}  // namespace quern::supervisor
