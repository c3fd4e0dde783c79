// A module that must be refused; QUERN_BROKEN says why.
#include <pthread.h>
#include <unistd.h>

#include <stdexcept>

#include "worker/sdk/job.h"

namespace {

quern::sdk::Module describe_module() {
  quern::sdk::Module module{
      .name = "broken",
      .kinds = {
          {.name = "probe.echo", .summary = "", .params = {}, .input = {}, .output = "", .run = [](quern::sdk::Job&) {
           }}}};
#if QUERN_BROKEN == 1
  module.sdk_version = 999;
#elif QUERN_BROKEN == 2
  module.preload = [] { throw std::runtime_error("the font is missing"); };
#elif QUERN_BROKEN == 3
  module.preload = [] {
    pthread_t thread{};
    pthread_create(
        &thread, nullptr, [](void*) -> void* { return ::pause(), nullptr; }, nullptr);
  };
#elif QUERN_BROKEN == 4
  module.kinds.front().canary = {.params_json = R"({"seeds":3})"};
#elif QUERN_BROKEN == 5
  module.kinds.front().name = "health.test";
#endif
  return module;
}

}  // namespace

QUERN_JOB_MODULE(describe_module)
