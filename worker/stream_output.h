// StreamOutput: the part of a result that goes down the stream ring to a client that takes it as it is made.
//
// While the client does not take it, the job waits in prepare, commit, write or flush; once it is asked to stop,
// these throw sdk::JobError(kCancelled).
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <string_view>

#include "ipc/channel.h"
#include "ipc/stream_ring.h"
#include "worker/direct_output.h"

namespace quern::worker {

// A worker's end of its stream ring, for all of its jobs.
struct StreamEnd {
  StreamEnd(const ipc::Channel& channel, int supervisors_eventfd)
      : header(channel.header()),
        ring(channel),
        eventfd(supervisors_eventfd),
        room_at_end(ipc::kStreamBytes -
                    std::min<std::size_t>(channel.geometry().output_extent_bytes, ipc::kStreamBytes)) {}

  ipc::ChannelHeader& header;
  ipc::StreamProducer ring;
  int eventfd;              // rings the supervisor
  std::size_t room_at_end;  // there must be when a job completes
};

class StreamOutput final : public DirectOutput {
 public:
  // `position`: the job's.
  StreamOutput(std::string_view part_name, StreamEnd& end, std::uint64_t position, std::uint64_t bytes_max);

  void flush() override { empty_buffer(); }
  // Waits until the client has taken nearly all of it.
  void finish() override;

 private:
  void write_out(std::span<const std::byte> bytes) override;
  std::size_t wait_for_room(std::size_t bytes_min);

  StreamEnd& end_;
  std::uint64_t position_;
};

}  // namespace quern::worker
