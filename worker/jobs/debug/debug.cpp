// The debug module: jobs that echo, wait, burn, die and misbehave on request. Tests, benchmarks and
// health canaries use it; it is not loaded unless a pool names it.
#include <iterator>

#include "worker/jobs/debug/kinds.h"

namespace {

using namespace quern;

sdk::Module describe_module() {
  sdk::Module module{.name = "debug", .kinds = debug::working_kinds()};
  sdk::Canary canary;
  canary.input = "tweet";
  module.kinds.front().canary = canary;  // debug.echo's
  for (const auto kinds : {debug::misbehaving_kinds, debug::sharing_kinds})
    std::ranges::move(kinds(), std::back_inserter(module.kinds));
  return module;
}

}  // namespace

QUERN_JOB_MODULE(describe_module)
