// Files that someone uploads: every kind of job of the image module, over every format it reads.
//
// Oracle: a picture or an error that is the client's fault. What was written is read again strictly, and has the
// size asked for; reports are JSON; what could be worked on has an image.info with the same header; a picture does
// not differ from itself.
//
// Input: {u8 request, the file}. Mutations make PNG's checksums right again, most of the time: behind wrong ones
// there is nothing more to find.
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <new>
#include <opencv2/core.hpp>
#include <random>
#include <string>
#include <vector>

#include "tests/fuzz/input.h"
#include "tests/unit/jobs/pictures.h"
#include "tests/unit/sdk/fake_job.h"

namespace quern::fuzz {
namespace {

namespace json = boost::json;
using sdk::FakeJob;
using sdk::JobErrorCode;

// Small enough for hundreds of runs a second with sanitizers.
constexpr std::string_view kLimits = R"("max_input_pixels":100000,"max_input_side":2000,"max_input_frames":20)";
constexpr std::string_view kPlaceholder = "placeholder";  // the name of what is no picture
constexpr int kThumbnailWidth = 16;
constexpr int kThumbnailHeight = 12;

struct Request {
  std::string_view kind;
  std::string_view params;
  bool thumbnail = false;  // its results have the size above
};

// All that decodes in a way of its own, or does much with what was decoded.
constexpr Request kRequests[] = {
    {"image.info", ""},
    {"image.process",
     R"("outputs":[{"name":"a","format":"webp"},{"name":"b","format":"png"},{"name":"placeholder","format":"placeholder"}])"},
    {"image.process", R"("outputs":[
       {"name":"a","format":"jpeg","operations":[{"op":"resize","width":16,"height":12}]},
       {"name":"b","format":"gif","operations":[{"op":"resize","width":16,"height":12,"fit":"fill"}]},
       {"name":"c","format":"png","operations":[{"op":"resize","width":16,"height":12,"position":"attention"}]}])",
     true},
    {"image.process", R"("format":"tiff","keep_metadata":true,"operations":[
       {"op":"trim"},{"op":"rotate","angle":17},{"op":"blur","sigma":1.5},{"op":"normalise"},{"op":"sharpen"}])"},
    {"image.process", R"("format":"auto","keep_icc":true,"keep_metadata":true)"},
    {"image.resize", R"("width":16,"height":12,"format":"webp","animated":false)", true},
    {"image.placeholder", ""},
    {"image.stats", ""},
    {"image.compare", ""},
};
constexpr std::string_view kFailOn[] = {"none", "truncated", "error", "warning"};

bool knows(const sdk::Kind& kind, std::string_view param) {
  return std::ranges::find(kind.params, param, &sdk::ParamSpec::name) != kind.params.end();
}

std::string params_of(const Request& request, const sdk::Kind& kind, std::string_view fail_on) {
  std::string params(request.params);
  const auto add = [&](std::string_view more) { (params += params.empty() ? "" : ",") += more; };
  if (knows(kind, "max_input_pixels")) add(kLimits);
  if (knows(kind, "fail_on")) add(R"("fail_on":")" + std::string(fail_on) + "\"");
  return "{" + params + "}";
}

// Whether it was done; else it failed as it may.
bool runs(FakeJob& job) {
  try {
    job.run();
    return true;
  } catch (const sdk::JobError& error) {
    check(error.code() == JobErrorCode::kBadInput || error.code() == JobErrorCode::kTooLarge ||
              error.code() == JobErrorCode::kInvalidArgument,
          error.what());
    check(*error.what() != '\0', "an error says what is wrong");
  } catch (const std::bad_alloc&) {
    // what a file claims may be more than there is
  }
  return false;
}

json::object report_of(const sdk::FakeOutput& output) {
  boost::system::error_code failure;
  const json::value report = json::parse(ipc::as_text(output.bytes()), failure);
  check(!failure && report.is_object(), "a report is a JSON object");
  return report.get_object();
}

void check_written(const sdk::FakeOutput& output, const Request& request) {
  static const sdk::Kind nothing{};
  const FakeJob job(nothing);
  if (output.name() == kPlaceholder) {
    check(report_of(output).at("blurhash").is_string(), "a placeholder has a BlurHash");
    return;
  }
  const auto decoder = image::open_decoder(output.bytes(), image::FailOn::kWarning, job);
  const image::Header header = decoder->header();
  const cv::Size size(static_cast<int>(header.width), static_cast<int>(header.height));
  check(!request.thumbnail || size == cv::Size(kThumbnailWidth, kThumbnailHeight), "a result has the size asked for");
  for (std::uint32_t i = 0; i < header.frames; ++i) {
    check(image::size_of(decoder->next({}).picture) == size, "every frame that was written can be read");
  }
}

void check_info(ipc::ByteSpan file) {
  FakeJob job(sdk::find_kind("image.info"), "{}");
  job.add_input(file);
  check(runs(job), "what can be worked on can be described");
  const json::object info = report_of(job.outputs.front());
  check(info.at("width").to_number<int>() > 0 && info.at("height").to_number<int>() > 0, "a picture has a size");
}

void run(const Request& request, std::string_view fail_on, ipc::ByteSpan file) {
  const sdk::Kind& kind = sdk::find_kind(request.kind);
  FakeJob job(kind, params_of(request, kind, fail_on));
  for (std::uint32_t i = 0; i < kind.input.parts_min; ++i) job.add_input(file);
  if (!runs(job)) return;
  check(!job.outputs.empty(), "a job that is done has a result");
  check_info(file);
  if (request.kind == "image.process" || request.kind == "image.resize") {
    for (const auto& output : job.outputs) check_written(output, request);
    return;
  }
  const json::object report = report_of(job.outputs.front());
  if (request.kind == "image.compare") check(report.at("psnr").is_null(), "a picture is like itself");
}

}  // namespace
}  // namespace quern::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace quern::fuzz;
  [[maybe_unused]] static const bool loaded = (quern_job_module_v1()->preload(), true);
  Input input(data, size);
  const std::uint8_t choice = input.byte();
  run(kRequests[choice % std::size(kRequests)], kFailOn[choice / std::size(kRequests) % std::size(kFailOn)],
      input.rest());
  return 0;
}

// libFuzzer's; a replay has none and mutates nothing.
extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t size_max)
    __attribute__((weak));

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t size_max,
                                               unsigned int seed) {
  size = LLVMFuzzerMutate(data, size, size_max);
  constexpr unsigned int kLeftWrong = 8;  // one in so many
  if (size < 2 || data[1] != 0x89 || std::minstd_rand(seed)() % kLeftWrong == 0) return size;
  const auto bytes = std::as_writable_bytes(std::span(data, size)).subspan(1);
  quern::image::File file(bytes.begin(), bytes.end());
  quern::image::fix_png_checksums(file);
  std::ranges::copy(file, bytes.begin());
  return size;
}
