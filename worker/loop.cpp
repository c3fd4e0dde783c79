#include "worker/loop.h"

#include <fmt/format.h>

#include <array>
#include <cstdio>
#include <utility>

#include "ipc/channel.h"
#include "ipc/completion_ring.h"
#include "ipc/doorbell.h"
#include "ipc/submission_ring.h"
#include "worker/job_run.h"
#include "worker/memory_note.h"
#include "worker/stack_probe.h"
#include "worker/warm_heap.h"

namespace quern::worker {
namespace {

// Looks at the ring this often before sleeping. 0: on few cores a spinning worker takes the processor
// that the supervisor needs to feed it; measured with bench_roundtrip.
constexpr std::uint32_t kSpin = 0;

bool told_to_retire(const ipc::ChannelHeader& header) {
  return header.lifecycle.load(std::memory_order_seq_cst) != static_cast<std::uint32_t>(ipc::Lifecycle::kRun);
}

int refuse_to_start(const Error& error) {
  fmt::print(stderr, "quern-worker: {}\n", to_string(error));
  return 1;
}

}  // namespace

int run_worker(WorkerOptions options) {
  const auto channel = ipc::Channel::open(options.channel.get());
  if (!channel) return refuse_to_start(channel.error());
  options.channel.reset();
  if (auto installed = install_stack_probe(channel->header(), options.eventfd.get()); !installed)
    return refuse_to_start(installed.error());
  if (options.sandbox.memory_bytes_max > 0) {
    if (auto installed = install_memory_note(channel->header()); !installed) return refuse_to_start(installed.error());
  }
  const std::array<int, 2> keep{options.eventfd.get(), options.control.get()};
  if (auto entered = enter_sandbox(options.sandbox, options.filter, keep); !entered)
    return refuse_to_start(entered.error());

  WarmHeap::set_up();
  ipc::ChannelHeader& header = channel->header();
  ipc::SubmissionConsumer submissions(*channel);
  ipc::CompletionProducer completions(*channel);
  JobRun job(*channel, options.control.get(), options.eventfd.get(), options.kinds, options.sandbox.memory_bytes_max);
  for (;;) {
    const bool retire = told_to_retire(header);  // before the claim: nothing is published after it
    const auto claim = submissions.claim();
    if (!claim) {
      if (retire) return 0;
      const bool woken = ipc::wait_for_submission(header, submissions.position(), kSpin, job.heap().patience());
      if (!woken) job.heap().idle();
      continue;
    }
    ipc::Completion completion{};
    completion.position = claim->position;
    if (!claim->revoked) {
      const RunningJob visible(claim->position);
      completion = job.run(*claim);
    } else if (submissions.fd_count(claim->position) > 0) {
      job.drop_fds(claim->position);
    }
    completions.complete(completion);
    ipc::ring_supervisor(header, options.eventfd.get());
  }
}

}  // namespace quern::worker
