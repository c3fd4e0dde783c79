// Doorbells: waking the other side only when it sleeps.
//
// Each side has a sleeper word in the channel: 1 says "I am about to sleep, or asleep". A busy side
// leaves it 0, and the other side's ring costs one load and no system call.
//
//                 sleeper := 1                          sleeper 1 -> 0 (by the waker), FUTEX_WAKE / eventfd
//     Running ------------------> Looking once more -----------------------------------+
//        ^                            |        \                                       |
//        |   found something          |         \ still nothing                        v
//        +---- sleeper := 0 ----------+          +----> Asleep (futex wait / epoll) --> Running
//
// No wake-up is lost. Producer: (a) tail := p+1, (b) load sleeper. Sleeper: (c) sleeper := 1,
// (d) load tail. All four are seq_cst, so they have one total order in which either (a) comes before
// (d), and the sleeper sees the tail, or (c) comes before (b), and the producer sees the sleeper and
// wakes it (Dekker's pattern; C++20 [atomics.order]/4; on x86 the two stores are XCHG). For the worker,
// FUTEX_WAIT(sleeper, 1) checks the word again under the kernel's lock, so a wake between (d) and the
// wait is not lost either (futex(2)). For the supervisor, the eventfd's counter keeps it.
//
// seq_cst accesses instead of atomic_thread_fence: same code on x86, and ThreadSanitizer understands it.
//
// The same between a worker that waits for room in the stream ring and the supervisor that makes some, or asks
// the job to stop: stream_waiting is the sleeper word, stream_consumed and cancel are what is looked at once more.
// And between one that waits for memory and the supervisor that grants it: memory_waiting; memory_granted and cancel.
//
// What if the other side dies
//   worker asleep, supervisor dies      PR_SET_PDEATHSIG kills the worker.
//   supervisor asleep, worker dies      its pidfd becomes readable in the same epoll set.
//   waker dies between (a) and (b)      the same two: the death itself is the wake-up.
//   waker dies after sleeper := 0,      likewise; the word is thrown away with the channel.
//   before the wake
//
// What if a worker writes garbage here: into worker_sleeping, needless FUTEX_WAKEs; into
// supervisor_sleeping or the eventfd, needless or missing wake-ups for itself only: its jobs then
// end by their timeouts. The supervisor never waits on a word of shared memory.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

#include "ipc/channel.h"

namespace quern::ipc {

// Supervisor, after publish or after changing `lifecycle` or `cancel`: wakes the worker if it sleeps.
// Returns whether a system call was made.
bool ring_worker(ChannelHeader& header) noexcept;

// Worker: sleeps until the submission tail differs from `head` or lifecycle is not kRun, or for `patience`: false then.
// May return spuriously, with either; the caller looks again. `spin`: looks this many times before it sleeps.
bool wait_for_submission(ChannelHeader& header, std::uint64_t head, std::uint32_t spin,
                         std::chrono::nanoseconds patience = std::chrono::nanoseconds::max()) noexcept;

// Worker: sleeps until the bytes consumed of the stream ring are not `consumed`, or the job at `position` is asked
// to stop. May return spuriously; the caller looks again.
void wait_for_stream_room(ChannelHeader& header, std::uint64_t consumed, std::uint64_t position) noexcept;
// Supervisor, after StreamConsumer::pop or after changing `cancel`: wakes the worker if it waits for that.
// Returns whether a system call was made.
bool ring_stream(ChannelHeader& header) noexcept;

// Worker: sleeps until memory_granted is `wanted`, or the job at `position` is asked to stop. May return spuriously;
// the caller looks again.
void wait_for_memory(ChannelHeader& header, std::uint64_t wanted, std::uint64_t position) noexcept;
// Supervisor, after changing memory_granted or `cancel`: wakes the worker if it waits for that.
// Returns whether a system call was made.
bool ring_memory(ChannelHeader& header) noexcept;

// What the supervisor has looked at.
struct SupervisorSeen {
  std::uint64_t completions = 0;  // consumed
  std::uint64_t stream = 0;       // bytes of the stream ring
  std::uint64_t memory = 0;       // memory_wanted
};
// Supervisor, before it goes to wait for the eventfd: true when it may sleep, false when there is more than it has seen
// (its word is then down again).
[[nodiscard]] bool prepare_supervisor_sleep(ChannelHeader& header, const SupervisorSeen& seen) noexcept;
// Supervisor, when it is awake for whatever reason.
void supervisor_awake(ChannelHeader& header) noexcept;

// Worker, after complete, StreamProducer::put, or a change of memory_wanted: writes the eventfd if the supervisor
// sleeps. Returns whether it did.
bool ring_supervisor(ChannelHeader& header, int eventfd) noexcept;

}  // namespace quern::ipc
