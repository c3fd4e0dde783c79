#include <algorithm>
#include <string>

#include "worker/sdk/job.h"

namespace {

namespace sdk = quern::sdk;

// Counts a byte in the input. Works in slices, so that it can stop when it is asked to.
void count(sdk::Job& job) {
  const std::string_view wanted = job.string("byte");
  const auto bytes = job.input();
  constexpr std::size_t kSlice = 1U << 20;
  std::uint64_t found = 0;
  for (std::size_t at = 0; at < bytes.size(); at += kSlice) {
    job.throw_if_cancelled();
    const auto slice = bytes.subspan(at, std::min(kSlice, bytes.size() - at));
    found += static_cast<std::uint64_t>(std::ranges::count(slice, static_cast<std::byte>(wanted.front())));
    job.progress(at + slice.size(), bytes.size());
  }
  if (found == 0 && job.boolean("must_occur")) {
    throw sdk::JobError(sdk::JobErrorCode::kBadInput, "the input does not have the byte");
  }
  job.output().write(std::to_string(found));
}

sdk::Module describe_module() {
  sdk::Kind kind;
  kind.name = "text.count";
  kind.summary = "Counts how often a byte occurs";
  kind.params = {{.name = "byte", .help = "what to count", .required = true, .min = 1, .max = 1},
                 {.name = "must_occur",
                  .type = sdk::ParamType::kBoolean,
                  .help = "fail when it does not occur",
                  .fallback = false}};
  kind.input.help = "any bytes";
  kind.output = "a decimal number";
  kind.run = count;
  return {.name = "text", .kinds = {kind}};
}

}  // namespace

QUERN_JOB_MODULE(describe_module)
