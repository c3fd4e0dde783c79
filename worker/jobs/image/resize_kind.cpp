// image.resize: one picture, one size, one result. The one-liner.
#include <array>
#include <iterator>
#include <utility>

#include "worker/jobs/image/encode_params.h"
#include "worker/jobs/image/input.h"
#include "worker/jobs/image/kinds.h"
#include "worker/jobs/image/operations/resize_operation.h"
#include "worker/jobs/image/render.h"

namespace quern::image {
namespace {

void run(sdk::Job& job) {
  Operations shared;
  std::vector<Output> outputs;
  outputs.push_back({.name = {}, .operations = {}, .params = job.params()});
  outputs.front().operations.push_back(make_resize(Arguments(job.params(), {})));
  render(job, input_options(job.params()), shared, outputs);
}

// A PNG of 4 x 4 pixels, every one of another colour: read as PNG, reduced and written as JPEG in under 1 ms.
constexpr auto kCanaryPicture = std::to_array<unsigned char>(
    {0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0x00, 0x00, 0x00, 0x0d, 0x49, 0x48, 0x44, 0x52, 0x00,
     0x00, 0x00, 0x04, 0x00, 0x00, 0x00, 0x04, 0x08, 0x02, 0x00, 0x00, 0x00, 0x26, 0x93, 0x09, 0x29, 0x00,
     0x00, 0x00, 0x29, 0x49, 0x44, 0x41, 0x54, 0x78, 0xda, 0x0d, 0xc7, 0x31, 0x01, 0x00, 0x00, 0x0c, 0xc2,
     0x30, 0x84, 0x55, 0x18, 0x67, 0x45, 0x21, 0x70, 0xcb, 0x97, 0x24, 0x12, 0x1b, 0x17, 0x13, 0x04, 0x8b,
     0xe3, 0x53, 0xa9, 0xad, 0xeb, 0x67, 0x32, 0x3b, 0x37, 0x0f, 0xa7, 0x63, 0x13, 0x41, 0x06, 0x1a, 0x2b,
     0x55, 0x00, 0x00, 0x00, 0x00, 0x49, 0x45, 0x4e, 0x44, 0xae, 0x42, 0x60, 0x82});

}  // namespace

sdk::Kind resize_kind() {
  sdk::Kind kind;
  kind.name = "image.resize";
  kind.summary = "Resizes a picture";
  kind.input = {.parts_min = 1, .parts_max = 1, .help = "a picture: JPEG, PNG, WebP, GIF, TIFF, AVIF or BMP"};
  kind.output = "the resized picture";
  kind.run = run;
  kind.canary = {.params_json = R"({"width":2,"format":"jpeg"})",
                 .input = {kCanaryPicture.begin(), kCanaryPicture.end()}};
  for (auto specs : {resize_params, encode_specs, input_specs})
    std::ranges::move(specs(), std::back_inserter(kind.params));
  return kind;
}

}  // namespace quern::image
