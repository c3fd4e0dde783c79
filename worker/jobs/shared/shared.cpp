// The shared module: jobs that work in a shared buffer with their client and with each other.
#include <fmt/format.h>

#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>

#include "worker/jobs/shared/histogram.h"
#include "worker/sdk/job.h"

namespace {

namespace sdk = quern::sdk;
using quern::AtomicView;
using quern::jobs::Histogram;
using quern::jobs::HistogramRange;
using quern::jobs::kHistogramHeadWords;

constexpr double kIndexMax = 1e12;
constexpr double kAddMax = 9007199254740992.0;  // 2^53: the integers that a JSON number holds exactly

[[noreturn]] void outside(std::string_view field, std::size_t words) {
  throw sdk::JobError(sdk::JobErrorCode::kInvalidArgument,
                      fmt::format("the shared buffer has {} such words; {} must be below", words, field),
                      std::string(field));
}

// Adds, and answers with what the word held before.
template <class Word>
void add(sdk::Job& job) {
  const AtomicView<Word> words = job.shared().front().as<Word>();
  const auto index = static_cast<std::size_t>(job.integer("index"));
  if (index >= words.size()) outside("index", words.size());
  const double by = job.number("add");
  const Word before = words[index].fetch_add(static_cast<Word>(static_cast<std::int64_t>(by)));
  if constexpr (sizeof(Word) == 4) {
    if (job.boolean("notify")) words.notify_all(index);
  }
  job.output().write(fmt::format("{}\n", before));
}

template <>
void add<double>(sdk::Job& job) {
  const AtomicView<double> words = job.shared().front().as<double>();
  const auto index = static_cast<std::size_t>(job.integer("index"));
  if (index >= words.size()) outside("index", words.size());
  job.output().write(fmt::format("{}\n", words[index].fetch_add(job.number("add"))));
}

void run_add(sdk::Job& job) {
  const std::string_view word = job.string("word");
  if (word != "f64" && job.number("add") != std::floor(job.number("add"))) {
    throw sdk::JobError(sdk::JobErrorCode::kInvalidArgument, "add must be an integer unless word is f64", "add");
  }
  if (word == "u32") return add<std::uint32_t>(job);
  if (word == "i32") return add<std::int32_t>(job);
  if (word == "u64") return add<std::uint64_t>(job);
  if (word == "i64") return add<std::int64_t>(job);
  return add<double>(job);
}

void run_histogram(sdk::Job& job) {
  const AtomicView<std::uint64_t> words = job.shared().front().as<std::uint64_t>();
  if (words.size() <= kHistogramHeadWords) {
    throw sdk::JobError(sdk::JobErrorCode::kInvalidArgument,
                        fmt::format("the shared buffer has room for no bin: give it {} bytes and 8 more a bin",
                                    kHistogramHeadWords * sizeof(std::uint64_t)),
                        "shared_buffers");
  }
  const HistogramRange range{
      .min = job.number("min"), .max = job.number("max"), .bins = words.size() - kHistogramHeadWords};
  if (!(range.min < range.max) || !std::isfinite(range.max - range.min)) {
    throw sdk::JobError(sdk::JobErrorCode::kInvalidArgument, "max must be above min", "max");
  }
  Histogram histogram(range);
  quern::jobs::count_packed(job, job.input(), job.string("type"), histogram);
  job.throw_if_cancelled();  // all of it, or nothing
  histogram.add_to(words);
}

sdk::Kind describe_add() {
  using sdk::ParamType;
  sdk::Kind kind;
  kind.name = "shared.add";
  kind.summary = "Adds to a word of a shared buffer, atomically, and wakes those who wait for it";
  kind.params = {
      {.name = "index",
       .type = ParamType::kInteger,
       .help = "which word, from 0",
       .fallback = 0,
       .min = 0,
       .max = kIndexMax},
      {.name = "add", .type = ParamType::kNumber, .help = "how much", .fallback = 1, .min = -kAddMax, .max = kAddMax},
      {.name = "word",
       .type = ParamType::kString,
       .help = "what the buffer holds",
       .fallback = "u32",
       .choices = {"u32", "i32", "u64", "i64", "f64"}},
      {.name = "notify",
       .type = ParamType::kBoolean,
       .help = "wake who waits for the word (words of 32 bits)",
       .fallback = true}};
  kind.input = {.parts_min = 0, .parts_max = 0, .help = ""};
  kind.output = "what the word held before, as text";
  kind.shared = {.buffers_min = 1, .buffers_max = 1, .help = "an array of words"};
  kind.run = run_add;
  kind.canary = sdk::Canary{};
  return kind;
}

sdk::Kind describe_histogram() {
  using sdk::ParamType;
  sdk::Kind kind;
  kind.name = "stats.histogram";
  kind.summary = "Counts numbers into the bins of a shared buffer, beside other jobs that do the same";
  kind.params = {{.name = "min", .type = ParamType::kNumber, .help = "where the first bin begins", .fallback = 0},
                 {.name = "max", .type = ParamType::kNumber, .help = "where the last bin ends", .fallback = 256},
                 {.name = "type",
                  .type = ParamType::kString,
                  .help = "what the input's numbers are",
                  .fallback = "u8",
                  .choices = {"u8", "u16", "u32", "f32", "f64"}}};
  kind.input = {.parts_min = 1, .parts_max = 1, .help = "packed numbers, little-endian"};
  kind.output = "nothing: the counts are in the buffer";
  kind.shared = {.buffers_min = 1,
                 .buffers_max = 1,
                 .help = "64-bit words: counted, below min, not below max, and then a bin each"};
  kind.run = run_histogram;
  return kind;
}

sdk::Module describe_module() {
  sdk::Module module;
  module.name = "shared";
  module.kinds = {describe_add(), describe_histogram()};
  return module;
}

}  // namespace

QUERN_JOB_MODULE(describe_module)
