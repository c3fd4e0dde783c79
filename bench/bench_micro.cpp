// The parts on a job's hot path, one by one, in one thread.
#include <benchmark/benchmark.h>

#include <boost/json/monotonic_resource.hpp>
#include <vector>

#include "ipc/completion_ring.h"
#include "ipc/doorbell.h"
#include "ipc/submission_ring.h"
#include "ipc/wire.h"
#include "worker/sdk/params.h"

namespace {

using namespace quern;

// publish, claim, complete, consume, with both doorbells rung and nobody asleep
void ring_round(benchmark::State& state) {
  auto created = ipc::Channel::create({}, 1);
  const ipc::Channel& channel = created.value().channel;
  ipc::SubmissionProducer producer(channel);
  ipc::SubmissionConsumer consumer(channel);
  ipc::CompletionProducer completer(channel);
  ipc::CompletionConsumer completions(channel);
  for (auto _ : state) {
    producer.publish({.job_id = 1});
    ipc::ring_worker(channel.header());
    const auto claim = consumer.claim();
    ipc::Completion completion{};
    completion.position = claim->position;
    completer.complete(completion);
    ipc::ring_supervisor(channel.header(), -1);
    benchmark::DoNotOptimize(completions.look(producer.next(), completion));
    completions.pop();
  }
}
BENCHMARK(ring_round);

void decode_submit_frame(benchmark::State& state) {
  wire::Buffer frame;
  wire::ByteWriter writer(frame);
  wire::encode_submit_head(writer, "image.resize", {.run_timeout_ms = 1000});
  const std::vector<wire::Part> parts{{.bytes = 5, .data = ipc::as_bytes("bytes")}};
  wire::encode_job_body(writer, R"({"width":320})", parts);
  for (auto _ : state) benchmark::DoNotOptimize(wire::decode_submit(frame));
}
BENCHMARK(decode_submit_frame);

void check_parameters(benchmark::State& state) {
  const std::vector<sdk::ParamSpec> specs{
      {.name = "width", .type = sdk::ParamType::kInteger, .help = "", .min = 1, .max = 16383},
      {.name = "quality", .type = sdk::ParamType::kInteger, .help = "", .fallback = 80, .min = 1, .max = 100}};
  unsigned char scratch[4096];
  for (auto _ : state) {
    boost::json::monotonic_resource memory(scratch, sizeof scratch);
    benchmark::DoNotOptimize(sdk::check_params(specs, R"({"width":320})", &memory));
  }
}
BENCHMARK(check_parameters);

void create_channel(benchmark::State& state) {
  for (auto _ : state)
    benchmark::DoNotOptimize(
        ipc::Channel::create({.slots = 32, .input_extent_bytes = 32U << 10, .output_extent_bytes = 32U << 10}, 1));
}
BENCHMARK(create_channel)->Unit(benchmark::kMicrosecond);

}  // namespace

BENCHMARK_MAIN();
