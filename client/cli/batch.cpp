#include "client/cli/batch.h"

#include <fmt/format.h>
#include <signal.h>

#include <filesystem>
#include <utility>

#include "client/cli/batch_arguments.h"
#include "client/cli/batch_inputs.h"
#include "client/cli/batch_run.h"
#include "client/cli/exit_code.h"
#include "client/cli/files.h"
#include "client/cli/kinds.h"

namespace quern::cli {
namespace {

Result<int> run_batch(client::Client& client, const BatchArguments& batch, const boost::json::object& kind) {
  std::vector<client::Part> also;
  for (const std::string& file : batch.also) {
    auto part = read_input(file);
    if (!part) return part.error();
    also.push_back(std::move(*part));
  }
  std::error_code failure;
  std::filesystem::create_directories(batch.to, failure);
  if (failure) return usage_error(fmt::format("can't make {}: {}", batch.to, failure.message()), "to");
  const auto inputs = InputSource::open({.words = batch.inputs,
                                         .from = batch.from,
                                         .separator = batch.null_separated ? '\0' : '\n',
                                         .recursive = batch.recursive,
                                         .outputs = batch.to});
  if (!inputs) return inputs.error();
  ::signal(SIGPIPE, SIG_IGN);  // a reader of --json that goes away is seen where it is written
  return BatchRun(client, batch, kind, **inputs, std::move(also)).run();
}

}  // namespace

int batch_command(client::Client& client, const std::vector<std::string>& arguments) {
  if (arguments.empty() || arguments.front() == "--help" || arguments.front() == "-h") {
    fmt::print(arguments.empty() ? stderr : stdout, "{}", kBatchHelp);
    return arguments.empty() ? kUsage : kOk;
  }
  const auto document = client.kinds();
  if (!document) return report(document.error());
  const auto kinds = KindTable::parse(*document);
  if (!kinds) return report(kinds.error());
  const auto batch = parse_batch(*kinds, arguments);
  if (!batch) return report(batch.error());
  if (batch->help) {
    if (batch->kind.empty()) {
      fmt::print("{}", kBatchHelp);
    } else {
      KindTable::print_kind(*kinds->find(batch->kind));
    }
    return kOk;
  }
  const auto done = run_batch(client, *batch, *kinds->find(batch->kind));
  return done ? *done : report(done.error());
}

}  // namespace quern::cli
