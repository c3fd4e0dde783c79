// The half of Worker that takes what the process has made or says: answers, streams of them, reservations, stacks.
#include <string.h>
#include <sys/uio.h>

#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "ipc/doorbell.h"
#include "supervisor/worker.h"

namespace quern::supervisor {

namespace asio = boost::asio;

namespace {

// Takes the eventfd's count. The worker holds the same open file description: it may have cleared
// O_NONBLOCK and taken the count before us, so a plain read could block for ever. RWF_NOWAIT can't.
void lower_eventfd(int eventfd) noexcept {
  std::uint64_t count = 0;
  const iovec into{.iov_base = &count, .iov_len = sizeof count};
  (void)::preadv2(eventfd, &into, 1, -1, RWF_NOWAIT);
}

}  // namespace

asio::awaitable<void> Worker::watch_completions() {
  ipc::ChannelHeader& header = channel_.header();
  boost::system::error_code failure;
  for (;;) {
    const std::uint64_t memory_wanted = memory_.look();  // before the answers, see ipc/reservation.h
    const Turn turn = drain();
    if (turn == Turn::kCorrupt) co_return;  // killed; the pidfd tells when it is gone
    if (!pass_on_stream()) co_return kill({CauseKind::kChannelCorrupt, 0});
    if (turn == Turn::kIdle && !take_reservation(memory_wanted)) co_return kill({CauseKind::kChannelCorrupt, 0});
    if (turn == Turn::kMore ||
        !ipc::prepare_supervisor_sleep(
            header, {.completions = completions_.consumed(), .stream = stream_.seen(), .memory = memory_.seen()})) {
      co_await asio::post(asio::use_awaitable);  // others have their turn
      continue;
    }
    announce_stack();  // after prepare_supervisor_sleep: one that comes later rings
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
  if (job != nullptr && job->stream && !pass_on_rest(*job, completion)) return false;
  const auto answer = answers_.read(completion, job);
  if (!answer) return false;
  jobs_[slot] = nullptr;
  if (job != nullptr) {
    job->worker = nullptr;
    bytes_in_flight_ -= job->payload_bytes;
    ++jobs_done_;
    events_.on_answer(*this, *job, *answer);
  }
  answers_.drop();
  if (wipe_[slot] != 0) wipe(completion.position);
  completions_.pop();
  announce_front();
  return true;
}

// A turn's share of what the running job has made of its result.
bool Worker::pass_on_stream() {
  Job* job = running();
  if (job != nullptr && job->stream) return pass_on_stream(*job);
  return stream_.look(UINT64_MAX).has_value();
}

// As much as its client takes. False: the worker lied.
bool Worker::pass_on_stream(Job& job) {
  const auto bytes = stream_.look(job.position);
  if (!bytes || bytes->size() > job.result_bytes_max - job.streamed_bytes) return false;
  if (bytes->size() > 0) hand_up(job, bytes->begin(events_.stream_room(job)));
  return true;
}

// What is left of a job that is complete.
bool Worker::pass_on_rest(Job& job, const ipc::Completion& completion) {
  const bool succeeded = static_cast<ipc::Outcome>(completion.outcome) == ipc::Outcome::kResult;
  if (!succeeded && !pass_on_stream(job)) return false;
  const auto rest = stream_.look(job.position);
  if (!rest || rest->size() > job.result_bytes_max - job.streamed_bytes) return false;
  if (succeeded) {
    if (rest->size() > channel_.geometry().output_extent_bytes) return false;
    hand_up(job, *rest);
  } else {
    take(job, *rest);
  }
  return true;
}

void Worker::hand_up(Job& job, const ipc::StreamConsumer::Bytes& bytes) {
  if (bytes.size() == 0) return;
  job.streamed_bytes += bytes.size();
  events_.on_stream(job, bytes.first, bytes.second);
  take(job, bytes);
}

void Worker::take(const Job& job, const ipc::StreamConsumer::Bytes& bytes) {
  if (bytes.size() == 0) return;
  if (job.kind->sensitive) wipe(bytes);
  stream_.pop(bytes.size());
  ipc::ring_stream(channel_.header());
}

void Worker::resume_stream(Job& job) {
  if (state_ == State::kDead || running() != &job || pass_on_stream(job)) return;
  kill({CauseKind::kChannelCorrupt, 0});
}

// What the running job says of its memory, after all answers that came before it. False: the worker lied.
bool Worker::take_reservation(std::uint64_t word) {
  if (word == memory_.seen()) return true;
  memory_.note(word);
  const auto wanted = ipc::MemoryWord::unpacked(word);
  const std::uint64_t oldest = completions_.consumed();
  const auto ahead = static_cast<std::int16_t>(wanted.position - static_cast<std::uint16_t>(oldest));
  if (ahead < 0) return true;  // that job is over
  Job* job = oldest == submissions_.next() ? nullptr : jobs_[channel_.slot(oldest)];
  if (ahead > 0 || job == nullptr || !submissions_.begun(oldest)) return false;
  return events_.on_memory_wanted(*job, wanted.bytes());
}

void Worker::wipe(const ipc::StreamConsumer::Bytes& taken) noexcept {
  std::byte* ring = channel_.stream().data();
  ::explicit_bzero(ring + (taken.first.data() - ring), taken.first.size());
  ::explicit_bzero(ring, taken.second.size());
}

// The slot is ours between consuming its completion and publishing its next position.
void Worker::wipe(std::uint64_t position) noexcept {
  const auto input = channel_.input(position);
  const auto output = channel_.output(position);
  ::explicit_bzero(input.data(), input.size());
  ::explicit_bzero(output.data(), output.size());
}

// What the worker comes to next: a job, or only what was taken back.
void Worker::announce_front() {
  if (Job* job = running(); job != nullptr) {
    if (!job->running) events_.on_begun(*job);
  } else if (in_flight() > 0 && emptied_ != submissions_.next()) {
    const bool has_time = passed_over();
    emptied_ = submissions_.next();
    if (has_time) events_.on_emptied(*this);  // else its time runs already
  }
}

// A stack that is being written is announced by the ring that follows it.
void Worker::announce_stack() {
  if (!stack_asked_) return;
  const auto version = channel_.header().stack_version.load(std::memory_order_seq_cst);
  if (version == stack_seen_ || version % 2 != 0) return;
  stack_asked_ = false;
  if (Job* job = running(); job != nullptr) events_.on_stack(*this, *job);
}

}  // namespace quern::supervisor
