// A job whose result has two parts, for the tests of `quern batch`.
#include "worker/sdk/job.h"

namespace {

namespace sdk = quern::sdk;

sdk::Module describe_module() {
  sdk::Kind kind;
  kind.name = "text.halves";
  kind.summary = "Cuts its input in two";
  kind.input.help = "any bytes";
  kind.output = "the parts `first` and `second`";
  kind.run = [](sdk::Job& job) {
    const auto bytes = job.input();
    job.output("first").write(bytes.first(bytes.size() / 2));
    job.output("second").write(bytes.subspan(bytes.size() / 2));
  };
  return {.name = "text", .kinds = {kind}};
}

}  // namespace

QUERN_JOB_MODULE(describe_module)
