#include <signal.h>
#include <time.h>

#include <algorithm>
#include <chrono>

#include <fmt/format.h>

#include "worker/jobs/debug/kinds.h"

namespace quern::debug {

using std::chrono::milliseconds;

void sleep_until(Clock::time_point until, const sdk::Job* cancellable) {
  constexpr auto kSlice = milliseconds(5);
  for (auto now = Clock::now(); now < until; now = Clock::now()) {
    if (cancellable != nullptr) cancellable->throw_if_cancelled();
    const auto slice = std::min<Clock::duration>(until - now, kSlice);
    const auto ns = std::chrono::duration_cast<std::chrono::nanoseconds>(slice).count();
    const timespec pause{.tv_sec = 0, .tv_nsec = ns};
    ::nanosleep(&pause, nullptr);
  }
}

sdk::ParamSpec milliseconds_param(std::int64_t fallback) {
  return {.name = "ms",
          .type = sdk::ParamType::kInteger,
          .help = "how long, in milliseconds",
          .fallback = fallback,
          .min = 0,
          .max = kMillisecondsMax};
}

namespace {

constexpr std::size_t kPageBytes = 4096;

void echo(sdk::Job& job) {
  std::uint64_t sum = 0;
  for (const sdk::InputPart& part : job.inputs()) {
    if (job.boolean("touch")) {
      for (std::size_t at = 0; at < part.bytes.size(); at += kPageBytes)
        sum += std::to_integer<unsigned>(part.bytes[at]);
    }
    job.forward(part, part.name);
  }
  asm volatile("" : : "r"(sum));  // the reading is the purpose
}

void sleep(sdk::Job& job) {
  sleep_until(Clock::now() + milliseconds(job.integer("ms")), &job);
  job.output().write("slept\n");
}

void spin(sdk::Job& job) {
  const auto until = Clock::now() + milliseconds(job.integer("ms"));
  std::uint64_t rounds = 0;
  while (Clock::now() < until) {
    if ((++rounds & 0xff) == 0) job.throw_if_cancelled();
  }
  job.output().write("spun\n");
}

// Takes none of it: what is tested is who waits for whom.
void reserve(sdk::Job& job) {
  job.reserve_memory(static_cast<std::uint64_t>(job.integer("bytes")));
  sleep_until(Clock::now() + milliseconds(job.integer("ms")), &job);
  for (const double then : job.numbers("then_bytes")) {
    job.reserve_memory(static_cast<std::uint64_t>(then));
    sleep_until(Clock::now() + milliseconds(job.integer("then_ms")), &job);
  }
  job.output().write("reserved\n");
}

void progress(sdk::Job& job) {
  const auto steps = static_cast<std::uint64_t>(job.integer("steps"));
  for (std::uint64_t step = 1; step <= steps; ++step) {
    sleep_until(Clock::now() + milliseconds(job.integer("ms")), &job);
    job.progress(step, steps, job.string("message"));
  }
  job.output().write("done\n");
}

void end_like(sdk::Job& job, std::string_view end) {
  if (end == "crash") die_by(SIGSEGV);
  if (end == "fail") throw sdk::JobError(sdk::JobErrorCode::kBadInput, "asked to fail after its result");
  if (end == "wait") sleep_until(Clock::time_point::max(), &job);
}

void produce(sdk::Job& job) {
  const auto bytes = static_cast<std::size_t>(job.integer("bytes"));
  const auto piece_bytes = static_cast<std::size_t>(job.integer("piece_bytes"));
  sdk::Output& output = job.output();
  for (std::size_t done = 0; done < bytes;) {
    sleep_until(Clock::now() + milliseconds(job.integer("ms")), &job);
    job.throw_if_cancelled();
    const std::size_t n = std::min(piece_bytes, bytes - done);
    const auto room = output.prepare(n);
    for (std::size_t i = 0; i < n; ++i) room[i] = static_cast<std::byte>((done + i) % 251);
    output.commit(n);
    output.flush();
    done += n;
    job.progress(done, bytes);
  }
  end_like(job, job.string("then"));
}

}  // namespace

std::vector<sdk::Kind> working_kinds() {
  using sdk::ParamType;
  const sdk::InputSpec none{.parts_min = 0, .parts_max = 0, .help = ""};
  return {
      {.name = "debug.echo",
       .summary = "Returns its input parts as they are",
       .params = {{.name = "touch",
                   .type = ParamType::kBoolean,
                   .help = "look at every page of them first",
                   .fallback = false}},
       .input = {.parts_min = 0, .parts_max = 64, .help = "anything"},
       .output = "the same parts",
       .run = echo},
      {.name = "debug.noop",
       .summary = "Does nothing",
       .params = {},
       .input = none,
       .output = "no parts",
       .run = [](sdk::Job&) {}},
      {.name = "debug.sleep",
       .summary = "Sleeps, and stops when cancelled",
       .params = {milliseconds_param(100)},
       .input = none,
       .output = "a line of text",
       .run = sleep},
      {.name = "debug.spin",
       .summary = "Burns a processor, and stops when cancelled",
       .params = {milliseconds_param(100)},
       .input = none,
       .output = "a line of text",
       .run = spin},
      {.name = "debug.reserve",
       .summary = "Reserves memory of its pool's budget for a while, and takes none of it",
       .params =
           {{.name = "bytes", .type = ParamType::kInteger, .help = "how much", .required = true, .min = 0, .max = 1e12},
            milliseconds_param(0),
            {.name = "then_bytes",
             .type = ParamType::kNumbers,
             .help = "then so much instead, one after the other",
             .fallback = boost::json::array(),
             .max = 1000},
            {.name = "then_ms",
             .type = ParamType::kInteger,
             .help = "each of them for so long, in milliseconds",
             .fallback = 0,
             .min = 0,
             .max = kMillisecondsMax}},
       .input = none,
       .output = "a line of text",
       .run = reserve},
      {.name = "debug.progress",
       .summary = "Reports its progress in steps",
       .params =
           {{.name = "steps", .type = ParamType::kInteger, .help = "how many", .fallback = 10, .min = 1, .max = 1e6},
            milliseconds_param(50),
            {.name = "message",
             .type = ParamType::kString,
             .help = "said with each step",
             .fallback = "",
             .max = 1000}},
       .input = none,
       .output = "a line of text",
       .run = progress},
      {.name = "debug.produce",
       .summary = "Returns a result of a given size: byte i is i mod 251",
       .params = {{.name = "bytes",
                   .type = ParamType::kInteger,
                   .help = "size of the result",
                   .required = true,
                   .min = 0,
                   .max = 1e12},
                  {.name = "piece_bytes",
                   .type = ParamType::kInteger,
                   .help = "made at once",
                   .fallback = 1 << 20,
                   .min = 1,
                   .max = 1e9},
                  milliseconds_param(0),
                  {.name = "then",
                   .type = ParamType::kString,
                   .help = "what it does once it has made them",
                   .fallback = "end",
                   .choices = {"end", "fail", "crash", "wait"}}},
       .input = none,
       .output = "that many bytes",
       .run = produce},
  };
}

}  // namespace quern::debug
