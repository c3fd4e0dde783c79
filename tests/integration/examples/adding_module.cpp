#include <string>

#include "worker/sdk/job.h"

namespace {

namespace sdk = quern::sdk;

void add(sdk::Job& job) {
  const auto words = job.shared().front().as<std::uint32_t>();
  const auto index = static_cast<std::size_t>(job.integer("index"));
  if (index >= words.size()) {
    throw sdk::JobError(sdk::JobErrorCode::kInvalidArgument, "the buffer has no such word", "index");
  }
  const std::uint32_t before = words[index].fetch_add(1);
  words.notify_all(index);
  job.output().write(std::to_string(before));
}

sdk::Module describe_module() {
  sdk::Kind kind;
  kind.name = "count.up";
  kind.summary = "Adds 1 to a word of a shared buffer";
  kind.params = {{.name = "index", .type = sdk::ParamType::kInteger, .help = "which", .fallback = 0, .min = 0}};
  kind.input = {.parts_min = 0, .parts_max = 0, .help = ""};
  kind.shared = {.buffers_min = 1, .buffers_max = 1, .help = "32-bit words"};
  kind.output = "what the word held before";
  kind.run = add;
  return {.name = "count", .kinds = {kind}};
}

}  // namespace

QUERN_JOB_MODULE(describe_module)
