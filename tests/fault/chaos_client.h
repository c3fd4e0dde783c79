// A client of the chaos test: a process of its own that runs a mix of jobs over several requests at a
// time, compares every answer with what it must be, and writes down all of it.
//
// What it sends is a function of its seed: content number n is the same job whenever it is sent. A request
// that is answered `unavailable` is sent again, as a new request with the same content, until the pool
// takes it; so each content ends with an answer of a worker, or an error of its own.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "common/error.h"

namespace quern::test {

enum class Content : std::uint8_t {
  kEcho,       // inline, in a descriptor, several parts
  kDigest,     // of the other pool
  kSleep,      // a few milliseconds
  kProgress,   // with progress asked for
  kFail,       // an error of the job's own
  kProduce,    // inline or in a descriptor
  kCrash,      // dies on its first attempt
  kExit,       // the same without a signal
  kOnce,       // an echo with one attempt
  kOverrun,    // longer than its run timeout, and stops when asked
  kStubborn,   // the same, and doesn't
  kHurried,    // a deadline that it may miss
  kCancelled,  // by its client, at some time
  kStream,     // its result taken as it is made
  kReserve     // waits for memory that others have
};
inline constexpr int kContents = 15;
inline constexpr std::uint64_t kChaosBudgetBytes = 256U << 20;  // of memory, each pool's

// One request and what became of it.
struct Entry {
  std::uint64_t content_number = 0;
  Content content{};
  std::uint32_t answers = 0;
  bool succeeded = false;
  bool right = false;  // a success's bytes, or an error's own text
  ErrorCode code{};
  Cause cause{};
  std::uint64_t job_id = 0;
  std::uint32_t attempts = 0;
};

// Whether this job, among killed and stopped workers, can have failed so.
[[nodiscard]] bool explained(const Entry& failed);

struct Ledger {
  bool complete = false;  // the client got to its end
  std::vector<Entry> entries;
};
[[nodiscard]] Ledger read_ledger(const std::string& path);

struct ChaosClientOptions {
  std::string socket_path;
  std::string ledger_path;
  std::uint64_t seed = 0;
  std::chrono::milliseconds time{0};
  bool unique = false;  // no two jobs with the same content, of all clients
};

// The command line that makes this executable such a client, and its way back.
[[nodiscard]] std::vector<std::string> chaos_client_command(const ChaosClientOptions& options);
// The exit code; -1 when these arguments ask for no client.
[[nodiscard]] int run_as_chaos_client(int argc, char** argv);

}  // namespace quern::test
