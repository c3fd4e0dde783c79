#include "supervisor/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
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

// Takes the eventfd's count. The worker holds the same open file description: it may have cleared
// O_NONBLOCK and taken the count before us, so a plain read could block for ever. RWF_NOWAIT can't.
void lower_eventfd(int eventfd) noexcept {
  std::uint64_t count = 0;
  const iovec into{.iov_base = &count, .iov_len = sizeof count};
  (void)::preadv2(eventfd, &into, 1, -1, RWF_NOWAIT);
}

// What a job, its module or its input can be at fault for. Whether a worker crashed, a pool is busy or a
// server can be reached is not seen from inside a worker.
bool is_workers_to_tell(ErrorCode code) noexcept {
  switch (code) {
    case ErrorCode::kInvalidArgument:
    case ErrorCode::kBadInput:
    case ErrorCode::kTooLarge:
    case ErrorCode::kCancelled:
    case ErrorCode::kOutOfMemory:
    case ErrorCode::kProtocolError:
    case ErrorCode::kInternal: return true;
    default: return false;
  }
}

}  // namespace

// ---- Birth and death -----------------------------------------------------------------------------

Result<std::unique_ptr<Worker>> Worker::create(asio::io_context& io, const ipc::Geometry& geometry,
                                               std::uint64_t incarnation, WorkerEvents& events) {
  auto created = ipc::Channel::create(geometry, incarnation);
  if (!created) return created.error();
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
                                            std::move(worker_eventfd), std::move(*control), incarnation, events));
}

Worker::Worker(asio::io_context& io, ipc::Channel channel, unique_fd channel_fd, unique_fd eventfd,
               unique_fd worker_eventfd, ipc::ControlPair control, std::uint64_t incarnation, WorkerEvents& events)
    : events_(events),
      channel_(std::move(channel)),
      submissions_(channel_),
      completions_(channel_),
      jobs_(channel_.geometry().slots, nullptr),
      wipe_(channel_.geometry().slots, 0),
      eventfd_(io, eventfd.release()),
      control_(std::move(control.supervisor)),
      channel_fd_(std::move(channel_fd)),
      worker_eventfd_(std::move(worker_eventfd)),
      worker_control_(std::move(control.child)),
      incarnation_(incarnation) {
  parts_.reserve(ipc::kResultPartsMax);
  raw_parts_.reserve(ipc::kResultPartsMax);
}

std::vector<int> Worker::spawn_fds() const { return {channel_fd_.get(), worker_eventfd_.get(), worker_control_.get()}; }

void Worker::spawn_sent() {
  channel_fd_.reset();
  worker_eventfd_.reset();
  worker_control_.reset();
}

void Worker::attach(std::unique_ptr<Process> process) {
  process_ = std::move(process);
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
  if (process_) process_->kill(SIGKILL);
}

// A worker that dies closes its socket a moment before its pidfd tells, and how it died is still the cause.
// One that lives on without it, or has left in it what it said it had done, would hold up its pool's queue.
void Worker::end_deaf() noexcept {
  deaf_ = true;
  process_->kill(SIGKILL);
}

asio::awaitable<Cause> Worker::mind() {
  using namespace asio::experimental::awaitable_operators;
  // ends with the process; the watch is cancelled then
  const auto ended = co_await (process_->exit() || watch_completions());
  Cause cause = ended.index() == 0 ? std::get<0>(ended) : co_await process_->exit();
  while (killed_for_.kind != CauseKind::kChannelCorrupt && drain() == Turn::kMore) {
  }
  if (killed_for_.kind != CauseKind::kNone) cause = killed_for_;
  if (deaf_ && cause == Cause{CauseKind::kSignaled, SIGKILL}) cause = {CauseKind::kChannelCorrupt, 0};
  state_ = State::kDead;
  co_return cause;
}

// ---- Jobs ------------------------------------------------------------------------------------------

Result<bool> Worker::publish(Job& job, std::int64_t now_ns) {
  if (state_ != State::kServing || in_flight() >= channel_.geometry().slots) return false;
  const std::uint64_t position = submissions_.next();
  ipc::Submission submission{.job_id = job.id,
                             .result_bytes_max = job.result_bytes_max,
                             .kind = job.kind->index,
                             .attempt = job.attempts + 1,
                             .body_bytes = static_cast<std::uint32_t>(job.body.size()),
                             .fd_count = static_cast<std::uint16_t>(job.fds.size())};
  const auto input = channel_.input(position);
  if (job.body.size() <= input.size()) {
    std::memcpy(input.data(), job.body.data(), job.body.size());
  } else {
    if (!job.body_fd) {
      auto copied = ipc::memfd_from("job-body", job.body);
      if (!copied) return copied.error();
      job.body_fd = std::move(*copied);
    }
    submission.body_in_fd = true;
    ++submission.fd_count;
  }
  if (submission.fd_count > 0) {
    std::vector<int> fds;
    if (submission.body_in_fd) fds.push_back(job.body_fd.get());
    for (const unique_fd& fd : job.fds) fds.push_back(fd.get());
    const auto sent = ipc::send_control(control_.get(), {.type = ipc::ControlType::kJobFds, .id = position}, {}, fds);
    if (!sent) return sent.error();
    if (sent->status != ipc::IoStatus::kDone) {
      // Full, while it still has jobs to receive: its next answer makes room. Else there is no next answer.
      if (sent->status == ipc::IoStatus::kClosed || in_flight() == 0) end_deaf();
      return false;
    }
  }
  const std::uint32_t slot = channel_.slot(position);
  jobs_[slot] = &job;
  wipe_[slot] = job.kind->sensitive ? 1 : 0;
  job.worker = this;
  job.position = position;
  job.published_ns = now_ns;
  submissions_.publish(submission);
  ipc::ring_worker(channel_.header());
  if (in_flight() == 1) announce_running();
  return true;
}

bool Worker::revoke(Job& job) noexcept {
  if (!submissions_.revoke(job.position)) return false;
  jobs_[channel_.slot(job.position)] = nullptr;
  job.worker = nullptr;
  return true;
}

void Worker::request_stop(const Job& job) noexcept {
  channel_.header().cancel.store(job.position + 1, std::memory_order_relaxed);  // a hint, polled
}

Job* Worker::running() const noexcept {
  return in_flight() == 0 ? nullptr : jobs_[channel_.slot(completions_.consumed())];
}

bool Worker::progress_of(const Job& job, wire::Progress& progress) const noexcept {
  ipc::ProgressView view;
  if (!ipc::load_progress(channel_.header(), job.position, view)) return false;
  progress = {view.done, view.total};
  return true;
}

// ---- Completions -----------------------------------------------------------------------------------

asio::awaitable<void> Worker::watch_completions() {
  ipc::ChannelHeader& header = channel_.header();
  boost::system::error_code failure;
  for (;;) {
    const Turn turn = drain();
    if (turn == Turn::kCorrupt) co_return;  // killed; the pidfd tells when it is gone
    if (turn == Turn::kMore || !ipc::prepare_supervisor_sleep(header, completions_.consumed())) {
      co_await asio::post(asio::use_awaitable);  // others have their turn
      continue;
    }
    co_await eventfd_.async_wait(asio::posix::stream_descriptor::wait_read,
                                 asio::redirect_error(asio::use_awaitable, failure));
    if (failure) co_return;
    lower_eventfd(eventfd_.native_handle());
    ipc::supervisor_awake(header);
  }
}

// Hands up at most one ring of answers, so that no worker keeps the loop for itself.
Worker::Turn Worker::drain() {
  ipc::Completion completion;
  std::uint32_t handled = 0;
  for (; handled < channel_.geometry().slots; ++handled) {
    const auto look = completions_.look(submissions_.next(), completion);
    if (look == ipc::CompletionConsumer::Look::kEmpty) break;
    if (look == ipc::CompletionConsumer::Look::kCorrupt || !deliver(completion)) {
      kill({CauseKind::kChannelCorrupt, 0});
      return Turn::kCorrupt;
    }
  }
  if (handled > 0) events_.on_room(*this);
  return handled == channel_.geometry().slots ? Turn::kMore : Turn::kIdle;
}

// Matches a completion with our own record and hands the answer up. False: the worker lied.
bool Worker::deliver(const ipc::Completion& completion) {
  const std::uint32_t slot = channel_.slot(completion.position);
  Job* job = jobs_[slot];
  const auto outcome = static_cast<ipc::Outcome>(completion.outcome);
  if ((job == nullptr) != (outcome == ipc::Outcome::kSkipped)) return false;
  WorkerAnswer answer{.run_ns = completion.run_ns};
  if (outcome == ipc::Outcome::kResult && !read_result(completion, answer)) return false;
  if (outcome == ipc::Outcome::kError && !read_error(completion, answer)) return false;
  if (outcome == ipc::Outcome::kResult && answer.result.parts.empty() && completion.fd_count > 0) return false;
  jobs_[slot] = nullptr;
  if (job != nullptr) {
    job->worker = nullptr;
    ++jobs_done_;
    events_.on_answer(*this, *job, answer);
  }
  result_fds_.clear();
  if (wipe_[slot] != 0) wipe(completion.position);
  completions_.pop();
  announce_running();
  return true;
}

bool Worker::read_result(const ipc::Completion& completion, WorkerAnswer& answer) {
  parts_.clear();
  raw_parts_.clear();
  if (!receive_result_fds(completion)) return false;
  const auto table = channel_.result_parts(completion.position);
  const std::span<const std::byte> extent = channel_.output(completion.position);
  const std::uint64_t bytes_max = jobs_[channel_.slot(completion.position)]->result_bytes_max;
  std::uint64_t total = 0;
  std::size_t next_fd = 0;
  for (std::uint32_t i = 0; i < completion.parts; ++i) {
    const ipc::ResultPart& part = raw_parts_.emplace_back(ipc::read_once(table[i]));  // reserved: never moves
    if (part.name_bytes > ipc::kResultPartNameBytesMax || part.in_fd > 1 || part.bytes > bytes_max - total)
      return false;
    total += part.bytes;
    ResultParts::Part checked{.name = {part.name, part.name_bytes}, .in_fd = part.in_fd == 1, .bytes = part.bytes};
    if (checked.in_fd) {
      if (next_fd == result_fds_.size()) return false;
      const auto sealed = ipc::sealed_size(result_fds_[next_fd++].get());
      if (!sealed || *sealed != part.bytes) return false;
    } else {
      if (part.offset > extent.size() || part.bytes > extent.size() - part.offset) return false;
      checked.data = extent.subspan(part.offset, static_cast<std::size_t>(part.bytes));
    }
    parts_.push_back(checked);
  }
  answer.result = {.parts = parts_, .fds = result_fds_};
  return next_fd == result_fds_.size();
}

bool Worker::read_error(const ipc::Completion& completion, WorkerAnswer& answer) {
  if (completion.fd_count != 0) return false;
  // a private copy first: what is decoded can't change any more
  const auto shared = channel_.output(completion.position).first(completion.error_bytes);
  const std::vector<std::byte> body(shared.begin(), shared.end());
  answer.error = wire::decode_error(body);
  if (!answer.error || !is_workers_to_tell(answer.error->code)) return false;
  answer.error->cause = {};
  answer.error->retry_after_ms = 0;
  return true;
}

// They went ahead of the completion, so they are here, and nothing else is.
bool Worker::receive_result_fds(const ipc::Completion& completion) {
  result_fds_.clear();
  while (result_fds_.size() < completion.fd_count) {
    const auto received = ipc::receive_control(control_.get(), message_);
    if (!received || *received != ipc::IoStatus::kDone) return false;
    if (message_.header.type != ipc::ControlType::kResultFds || message_.header.id != completion.position) return false;
    if (message_.fds.empty()) return false;
    for (unique_fd& fd : message_.fds) result_fds_.push_back(std::move(fd));
  }
  return result_fds_.size() == completion.fd_count;
}

// The slot is ours between consuming its completion and publishing its next position.
void Worker::wipe(std::uint64_t position) noexcept {
  const auto input = channel_.input(position);
  const auto output = channel_.output(position);
  ::explicit_bzero(input.data(), input.size());
  ::explicit_bzero(output.data(), output.size());
}

void Worker::announce_running() {
  if (Job* job = running(); job != nullptr && !job->running) events_.on_begun(*job);
}

}  // namespace quern::supervisor
