// MemoryReservation: what the running job has reserved of its pool's memory (ipc/reservation.h). One for all jobs
// of a worker; one thread.
#pragma once

#include <cstdint>

#include "ipc/channel.h"
#include "ipc/reservation.h"

namespace quern::worker {

class MemoryReservation {
 public:
  // `eventfd`: rings the supervisor. `memory_bytes_max`: the worker's; 0: no limit.
  MemoryReservation(const ipc::Channel& channel, int eventfd, std::uint64_t memory_bytes_max)
      : header_(channel.header()), producer_(channel, eventfd), memory_bytes_max_(memory_bytes_max) {}

  // The job at `position` begins, and has reserved nothing. The supervisor takes back what the one before had, by
  // itself.
  void begin(std::uint64_t position) noexcept;
  // As sdk::Job::reserve_memory.
  void reserve(std::uint64_t bytes);
  // The most that the job has reserved.
  [[nodiscard]] std::uint64_t most_bytes() const noexcept { return most_bytes_; }
  // How long the job has waited in reserve().
  [[nodiscard]] std::int64_t waited_ns() const noexcept { return waited_ns_; }

 private:
  void check(std::uint64_t bytes) const;
  void wait_for(std::uint64_t word);

  ipc::ChannelHeader& header_;
  ipc::ReservationProducer producer_;
  std::uint64_t memory_bytes_max_;
  std::uint64_t position_ = 0;
  std::uint64_t bytes_ = 0;       // reserved
  std::uint64_t most_bytes_ = 0;  // in this job
  bool told_ = false;             // the supervisor knows of some of it
  std::int64_t waited_ns_ = 0;
};

}  // namespace quern::worker
