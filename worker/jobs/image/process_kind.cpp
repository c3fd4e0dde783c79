// image.process: any operations in any order, and any number of results of one picture, which is decoded once.
#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <set>
#include <string>

#include "worker/jobs/image/encode_params.h"
#include "worker/jobs/image/input.h"
#include "worker/jobs/image/kinds.h"
#include "worker/jobs/image/limits.h"
#include "worker/jobs/image/render.h"
#include "worker/sdk/object.h"

namespace quern::image {
namespace {

constexpr double kOutputsMax = 64;
constexpr double kNameBytesMax = 64;

// None of them has a default, so each that is there was given.
void refuse_options_beside_outputs(const boost::json::object& params) {
  const std::string name = first_encode_param(params);
  if (name.empty()) return;
  throw sdk::JobError(
      sdk::JobErrorCode::kInvalidArgument,
      fmt::format("{} stands beside outputs, which each have their own: say it in those that it is for", name), name);
}

// Without a list of outputs there is one, which is said beside the operations.
std::vector<Output> outputs_of(const boost::json::object& params) {
  std::vector<Output> outputs;
  if (!sdk::has(params, "outputs")) {
    outputs.push_back({.name = {}, .operations = {}, .params = params});
    return outputs;
  }
  refuse_options_beside_outputs(params);
  std::set<std::string_view> names;
  const boost::json::array& list = sdk::list(params, "outputs");
  for (std::size_t i = 0; i < list.size(); ++i) {
    const boost::json::object& each = list[i].as_object();
    const std::string_view name = sdk::string(each, "name");
    if (!names.insert(name).second) {
      const std::string field = fmt::format("outputs[{}].name", i);
      throw sdk::JobError(sdk::JobErrorCode::kInvalidArgument,
                          fmt::format("{} is the name of an output before it, too; each needs its own", field), field);
    }
    Output output{.name = std::string(name), .operations = {}, .params = each};
    if (sdk::has(each, "operations")) {
      output.operations = make_operations(sdk::list(each, "operations"), fmt::format("outputs[{}].operations", i));
    }
    outputs.push_back(std::move(output));
  }
  return outputs;
}

void run(sdk::Job& job) {
  Operations shared;
  if (job.has("operations")) shared = make_operations(sdk::list(job.params(), "operations"), "operations");
  std::vector<Output> outputs = outputs_of(job.params());
  if (!sdk::has(job.params(), "outputs")) std::swap(shared, outputs.front().operations);
  render(job, input_options(job.params()), shared, outputs);
}

sdk::ParamSpec outputs_param() {
  sdk::ObjectSpec output{.name = "output", .help = "One result", .params = {}};
  output.params.push_back(
      {.name = "name", .help = "of the result's part", .required = true, .min = 1, .max = kNameBytesMax});
  output.params.push_back(operations_param());
  std::ranges::move(encode_specs(), std::back_inserter(output.params));
  return {.name = "outputs",
          .type = sdk::ParamType::kList,
          .help = "the results, a part each; when absent there is one, with the parameters below",
          .min = 1,
          .max = kOutputsMax,
          .items = {std::move(output)}};
}

}  // namespace

sdk::Kind process_kind() {
  sdk::Kind kind;
  kind.name = "image.process";
  kind.summary = "Works on a picture, and makes one or many results of it";
  kind.input = {.parts_min = 1,
                .parts_max = kInputsMax,
                .help = "a picture, and those that operations lay on it or combine it with"};
  kind.output = "a part for each of `outputs`, with its name; or one";
  kind.run = run;
  kind.params.push_back(operations_param());
  kind.params.push_back(outputs_param());
  for (auto specs : {encode_specs, input_specs}) std::ranges::move(specs(), std::back_inserter(kind.params));
  return kind;
}

}  // namespace quern::image
