#include "worker/stream_output.h"

#include <algorithm>

#include "ipc/doorbell.h"

namespace quern::worker {
namespace {

// Passed on at once unless the module flushes: little enough to come soon, enough to be worth a wake-up.
constexpr std::size_t kPieceBytes = 16U << 10;

}  // namespace

StreamOutput::StreamOutput(std::string_view part_name, StreamEnd& end, std::uint64_t position, std::uint64_t bytes_max)
    : DirectOutput(part_name, bytes_max, kPieceBytes), end_(end), position_(position) {
  wait_for_room(ipc::kStreamBytes);  // an earlier job's bytes
  end_.ring.begin(position_);
}

void StreamOutput::finish() {
  DirectOutput::finish();
  wait_for_room(end_.room_at_end);
}

void StreamOutput::write_out(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const std::size_t n = std::min(bytes.size(), wait_for_room(1));
    end_.ring.put(bytes.first(n));
    ipc::ring_supervisor(end_.header, end_.eventfd);
    bytes = bytes.subspan(n);
  }
}

std::size_t StreamOutput::wait_for_room(std::size_t bytes_min) {
  for (;;) {
    const std::uint64_t consumed = end_.ring.consumed();
    const std::size_t room = end_.ring.room(consumed);
    if (room >= bytes_min) return room;
    if (end_.header.cancel.load(std::memory_order_relaxed) == position_ + 1) {
      throw sdk::JobError(sdk::JobErrorCode::kCancelled, "the job was asked to stop while its client took no result");
    }
    ipc::wait_for_stream_room(end_.header, consumed, position_);
  }
}

}  // namespace quern::worker
