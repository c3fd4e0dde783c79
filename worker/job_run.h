// JobRun: one job from claim to completion. It is what modules see as sdk::Job, and the only place
// that turns what they throw into the job's error.
//
// Reused for every job of a worker, with its buffers, so that a small job allocates nothing of ours.
// One thread.
#pragma once

#include <array>
#include <boost/json/monotonic_resource.hpp>
#include <boost/json/object.hpp>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "ipc/channel.h"
#include "ipc/control.h"
#include "ipc/memfd.h"
#include "ipc/submission_ring.h"
#include "ipc/wire.h"
#include "worker/direct_output.h"
#include "worker/job_output.h"
#include "worker/memory_reservation.h"
#include "worker/sdk/job.h"
#include "worker/stream_output.h"
#include "worker/warm_heap.h"
#include "worker/wiping_memory.h"

namespace quern::worker {

class JobRun final : public sdk::Job {
 public:
  // `control`, `eventfd`: the worker's ends, borrowed. `memory_bytes_max`: the worker's; 0: no limit.
  JobRun(const ipc::Channel& channel, int control, int eventfd, std::span<const sdk::Kind* const> kinds,
         std::uint64_t memory_bytes_max = 0);

  // Runs the claimed job and returns its completion; never throws for what a module does. Result
  // descriptors have been sent when it returns.
  [[nodiscard]] ipc::Completion run(const ipc::SubmissionConsumer::Claim& claim);

  [[nodiscard]] WarmHeap& heap() noexcept { return heap_; }

  // A revoked job's descriptors came all the same: receives and drops them.
  void drop_fds(std::uint64_t position);

  // sdk::Job
  [[nodiscard]] const boost::json::object& params() const noexcept override { return *params_; }
  [[nodiscard]] std::span<const sdk::InputPart> inputs() const noexcept override { return inputs_; }
  [[nodiscard]] std::span<const SharedView> shared() const noexcept override { return shared_; }
  [[nodiscard]] sdk::Output& output(std::string_view part_name) override;
  void forward(const sdk::InputPart& input, std::string_view part_name) override;
  [[nodiscard]] bool cancel_requested() const noexcept override;
  void progress(std::uint64_t done, std::uint64_t total, std::string_view message) noexcept override;
  void reserve_memory(std::uint64_t bytes) override { reservation_.reserve(bytes); }
  [[nodiscard]] std::uint32_t attempt() const noexcept override { return submission_.attempt; }

 private:
  void run_module(ipc::Completion& completion);
  void receive_fds();
  [[nodiscard]] ipc::ByteSpan job_body();
  void read_inputs(ipc::ByteSpan parts);
  void read_shared();
  void check_input_count(const sdk::Kind& kind) const;
  [[nodiscard]] std::size_t part_fds() const noexcept;
  [[nodiscard]] bool first_part_is_direct() const noexcept { return submission_.output_file || submission_.stream; }
  [[nodiscard]] DirectOutput& begin_direct(std::string_view part_name);
  void publish_result(ipc::Completion& completion);
  void publish_error(ipc::Completion& completion, Error error);
  void clean_up(bool sensitive) noexcept;

  const ipc::Channel& channel_;
  int control_;
  std::span<const sdk::Kind* const> kinds_;

  std::uint64_t position_ = 0;
  ipc::Submission submission_{};
  WipingMemory overflow_;
  alignas(16) std::array<unsigned char, 16 * 1024> scratch_{};  // the parameters' memory, as far as it goes
  std::optional<boost::json::monotonic_resource> memory_;
  std::optional<boost::json::object> params_;
  std::vector<wire::Part> parts_;
  std::vector<sdk::InputPart> inputs_;
  std::vector<int> input_fds_;  // by input; -1: inline. Borrowed from fds_.
  std::vector<SharedView> shared_;
  std::vector<ipc::Mapping> mappings_;
  StreamEnd stream_;
  MemoryReservation reservation_;
  WarmHeap heap_{};
  std::unique_ptr<DirectOutput>
      direct_;                     // the first part, when the client gave a file for it or takes it as it is made
  std::deque<JobOutput> outputs_;  // a deque: module's references stay valid while parts are added
  ipc::ControlMessage fds_;
  std::vector<std::byte> error_body_;
};

}  // namespace quern::worker
