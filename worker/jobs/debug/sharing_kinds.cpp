#include <signal.h>

#include <chrono>

#include "worker/jobs/debug/kinds.h"

namespace quern::debug {
namespace {

// Dies between the two halves of what others wait for.
void add_and_die(sdk::Job& job) {
  job.shared().front().as<std::uint32_t>(0, 1)[0].fetch_add(1);
  die_by(SIGKILL);
}

void wait_for_word(sdk::Job& job) {
  const auto words = job.shared().front().as<std::uint32_t>(0, 1);
  const auto result = job.wait(words, 0, static_cast<std::uint32_t>(job.integer("expected")),
                               std::chrono::milliseconds(job.integer("ms")));
  job.output().write(result == WaitResult::kChanged ? "changed\n" : "timed out\n");
}

// Answers each change of word 0 by making word 1 the same, until it has seen the last round.
void pong(sdk::Job& job) {
  const auto words = job.shared().front().as<std::uint32_t>(0, 2);
  const auto rounds = static_cast<std::uint32_t>(job.integer("rounds"));
  for (std::uint32_t seen = 0; seen < rounds;) {
    if (job.wait(words, 0, seen, std::chrono::minutes(1)) == WaitResult::kTimedOut) {
      throw sdk::JobError(sdk::JobErrorCode::kBadInput, "nobody pings");
    }
    seen = words[0].load();
    words[1].store(seen);
    words.notify_one(1);
  }
}

}  // namespace

std::vector<sdk::Kind> sharing_kinds() {
  using sdk::ParamType;
  const sdk::InputSpec none{.parts_min = 0, .parts_max = 0, .help = ""};
  const sdk::SharedSpec words{.buffers_min = 1, .buffers_max = 1, .help = "32-bit words"};
  return {
      {.name = "debug.add_and_die",
       .summary = "Adds 1 to the first word of a shared buffer, and kills its worker before it tells anybody",
       .params = {},
       .input = none,
       .output = "nothing",
       .run = add_and_die,
       .shared = words},
      {.name = "debug.wait",
       .summary = "Waits until the first word of a shared buffer is not what is expected",
       .params = {{.name = "expected",
                   .type = ParamType::kInteger,
                   .help = "what the word holds now",
                   .fallback = 0,
                   .min = 0,
                   .max = 4294967295.0},
                  milliseconds_param(1000)},
       .input = none,
       .output = "changed, or timed out",
       .run = wait_for_word,
       .shared = words},
      {.name = "debug.pong",
       .summary = "Answers each change of a shared buffer's first word by making the second the same",
       .params = {{.name = "rounds",
                   .type = ParamType::kInteger,
                   .help = "the value after which to end",
                   .fallback = 1000,
                   .min = 1,
                   .max = 4294967295.0}},
       .input = none,
       .output = "nothing",
       .run = pong,
       .shared = words},
  };
}

}  // namespace quern::debug
