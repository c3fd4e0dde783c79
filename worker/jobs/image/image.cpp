// The image module: decode, resize, encode. The header is checked against the limits before a pixel is
// allocated, and every decoder's complaint is the job's error, never the worker's death.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <new>
#include <opencv2/core.hpp>
#include <opencv2/core/utility.hpp>
#include <optional>
#include <string>
#include <utility>

#include "worker/jobs/image/alpha.h"
#include "worker/jobs/image/codec.h"
#include "worker/jobs/image/plan.h"
#include "worker/jobs/image/resample.h"
#include "worker/jobs/image/resize.h"
#include "worker/jobs/image/yuv.h"
#include "worker/sdk/job.h"

namespace {

namespace sdk = quern::sdk;
namespace image = quern::image;
using sdk::ParamType;

constexpr std::int64_t kInputPixelsDefault = 268'402'689;  // 16383 squared, as sharp's limitInputPixels
constexpr double kInputPixelsMax = 1U << 30;               // 3 to 4 bytes each

[[noreturn]] void refuse(const std::string& message, const char* field) {
  throw sdk::JobError(sdk::JobErrorCode::kInvalidArgument, message, field);
}

template <class Enum>
Enum choice(std::string_view word, std::initializer_list<std::pair<std::string_view, Enum>> words) {
  return std::ranges::find(words, word, &std::pair<std::string_view, Enum>::first)->second;  // the SDK checked it
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// As CSS writes them: #rgb, #rgba, #rrggbb or #rrggbbaa.
image::Color parse_color(std::string_view text) {
  const auto refuse_color = [&] {
    refuse(fmt::format("background must be #rgb, #rgba, #rrggbb or #rrggbbaa in hex (got '{}')", text), "background");
  };
  const std::string_view digits = text.substr(text.starts_with('#') ? 1 : text.size());
  const bool is_short = digits.size() == 3 || digits.size() == 4;
  if (!is_short && digits.size() != 6 && digits.size() != 8) refuse_color();
  if (!std::ranges::all_of(digits, [](char c) { return hex_digit(c) >= 0; })) refuse_color();
  const auto channel = [&](std::size_t i, std::uint8_t absent) {
    const std::size_t width = is_short ? 1 : 2;
    if (i * width >= digits.size()) return absent;
    const int high = hex_digit(digits[i * width]);
    return static_cast<std::uint8_t>(high * 16 + hex_digit(digits[i * width + width - 1]));
  };
  return {.r = channel(0, 0), .g = channel(1, 0), .b = channel(2, 0), .a = channel(3, 255)};
}

// What is asked about the result, besides its size.
struct Wanted {
  image::Format format{};
  int quality = 0;
  std::optional<image::Color> background{};
};

image::Header accepted_header(const sdk::Job& job, const image::Decoder& decoder) {
  image::Header header = decoder.header();
  const auto pixels_max = static_cast<std::uint64_t>(job.integer("max_input_pixels"));
  if (std::uint64_t{header.width} * header.height > pixels_max) {
    throw sdk::JobError(sdk::JobErrorCode::kTooLarge,
                        fmt::format("the picture has {} x {} pixels; at most {} are accepted (max_input_pixels)",
                                    header.width, header.height, pixels_max),
                        "max_input_pixels");
  }
  if (!job.boolean("auto_orient")) header.orientation = 1;
  return header;
}

Wanted wanted_of(const sdk::Job& job, const image::Header& header) {
  Wanted wanted{.format = header.format, .quality = static_cast<int>(job.integer("quality"))};
  if (job.has("format")) {
    wanted.format = choice<image::Format>(
        job.string("format"),
        {{"jpeg", image::Format::kJpeg}, {"png", image::Format::kPng}, {"webp", image::Format::kWebp}});
  }
  if (job.has("background")) wanted.background = parse_color(job.string("background"));
  return wanted;
}

image::ResizeRequest request_of(const sdk::Job& job, const Wanted& wanted) {
  image::ResizeRequest request;
  request.asked = {.width = job.has("width") ? static_cast<std::uint32_t>(job.integer("width")) : 0,
                   .height = job.has("height") ? static_cast<std::uint32_t>(job.integer("height")) : 0};
  if (request.asked.width == 0 && request.asked.height == 0) refuse("width or height is required", "width");
  request.fit = choice<image::Fit>(job.string("fit"), {{"cover", image::Fit::kCover},
                                                       {"contain", image::Fit::kContain},
                                                       {"fill", image::Fit::kFill},
                                                       {"inside", image::Fit::kInside},
                                                       {"outside", image::Fit::kOutside}});
  request.scaling.enlarge = !job.boolean("without_enlargement");
  request.background = wanted.background;
  return request;
}

void resize_picture(sdk::Job& job) {
  constexpr std::uint64_t kSteps = 3;
  const auto decoder = image::open_decoder(job.input(), image::FailOn::kWarning, job);
  const image::Header header = accepted_header(job, *decoder);
  const Wanted wanted = wanted_of(job, header);
  const image::ResizeRequest request = request_of(job, wanted);
  const image::Size stored{header.width, header.height};
  const bool lies = header.orientation >= 5;
  const image::Plan plan = image::plan_of(request, lies ? image::Size{stored.height, stored.width} : stored);
  const std::uint32_t shrink =
      header.format == image::Format::kJpeg ? image::shrink_on_load(stored, lies ? image::turned(plan) : plan) : 1;

  const image::Frame frame = decoder->next(
      {.shrink = shrink, .yuv_welcome = true, .region = image::needed_region(request, stored, header.orientation)});
  job.progress(1, kSteps, "resampling");
  job.throw_if_cancelled();

  std::optional<image::YuvLayout> layout;
  if (wanted.format == image::Format::kJpeg) layout = {image::YuvPicture::Range::kFull, 1, 1};
  if (wanted.format == image::Format::kWebp) layout = {image::YuvPicture::Range::kLimited, 1, 1};
  image::Picture picture = image::resize(
      {.picture = frame.picture,
       .whole = stored,
       .decoded = {static_cast<double>(stored.width) / shrink, static_cast<double>(stored.height) / shrink},
       .offset = frame.offset,
       .orientation = header.orientation},
      request, layout, job);
  if (auto* rgb = std::get_if<cv::Mat>(&picture)) {
    *rgb = image::without_opaque_alpha(*rgb);
    if (wanted.format == image::Format::kJpeg) *rgb = image::flatten(*rgb, wanted.background.value_or(image::Color{}));
  }
  job.progress(2, kSteps, "encoding");
  job.throw_if_cancelled();

  const auto encoder = image::make_encoder({.format = wanted.format, .quality = wanted.quality}, job);
  encoder->add({.picture = picture});
  encoder->finish(job.output());
  job.progress(kSteps, kSteps);
}

// OpenCV has an exception of its own for what is std::bad_alloc elsewhere.
void resize(sdk::Job& job) {
  try {
    resize_picture(job);
  } catch (const cv::Exception& failure) {
    if (failure.code == cv::Error::StsNoMem) throw std::bad_alloc();
    throw;
  }
}

// One thread a worker: OpenCV must start none. A first resize resolves its lazy symbols and dispatch
// tables here, once, and not in every worker's first job.
void preload() {
  cv::setNumThreads(1);
  const cv::Mat pixels(64, 64, CV_8UC4, cv::Scalar(1, 2, 3, 4));
}

sdk::ParamSpec side(const char* name) {
  return {.name = name,
          .type = ParamType::kInteger,
          .help = std::string("pixels; follows from the other side when absent"),
          .min = 1,
          .max = static_cast<double>(image::kOutputSideMax)};
}

// A PNG of 4 x 4 pixels, every one of another colour: read as PNG, reduced and written as JPEG in under 1 ms.
constexpr auto kCanaryPicture = std::to_array<unsigned char>(
    {0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0x00, 0x00, 0x00, 0x0d, 0x49, 0x48, 0x44, 0x52, 0x00,
     0x00, 0x00, 0x04, 0x00, 0x00, 0x00, 0x04, 0x08, 0x02, 0x00, 0x00, 0x00, 0x26, 0x93, 0x09, 0x29, 0x00,
     0x00, 0x00, 0x29, 0x49, 0x44, 0x41, 0x54, 0x78, 0xda, 0x0d, 0xc7, 0x31, 0x01, 0x00, 0x00, 0x0c, 0xc2,
     0x30, 0x84, 0x55, 0x18, 0x67, 0x45, 0x21, 0x70, 0xcb, 0x97, 0x24, 0x12, 0x1b, 0x17, 0x13, 0x04, 0x8b,
     0xe3, 0x53, 0xa9, 0xad, 0xeb, 0x67, 0x32, 0x3b, 0x37, 0x0f, 0xa7, 0x63, 0x13, 0x41, 0x06, 0x1a, 0x2b,
     0x55, 0x00, 0x00, 0x00, 0x00, 0x49, 0x45, 0x4e, 0x44, 0xae, 0x42, 0x60, 0x82});

sdk::Kind resize_kind() {
  sdk::Kind kind;
  kind.name = "image.resize";
  kind.summary = "Resizes a picture";
  kind.input = {.parts_min = 1, .parts_max = 1, .help = "a JPEG, PNG or WebP picture"};
  kind.output = "the resized picture";
  kind.run = resize;
  kind.canary = {.params_json = R"({"width":2,"format":"jpeg"})",
                 .input = {kCanaryPicture.begin(), kCanaryPicture.end()}};
  kind.params.push_back(side("width"));
  kind.params.push_back(side("height"));
  kind.params.push_back({.name = "fit",
                         .help = "how the picture meets width x height",
                         .fallback = "cover",
                         .choices = {"cover", "contain", "fill", "inside", "outside"}});
  kind.params.push_back(
      {.name = "format", .help = "of the result; the input's when absent", .choices = {"webp", "jpeg", "png"}});
  kind.params.push_back({.name = "quality",
                         .type = ParamType::kInteger,
                         .help = "of WebP and JPEG",
                         .fallback = 80,
                         .min = 1,
                         .max = 100});
  kind.params.push_back({.name = "background",
                         .help = "#rrggbb or #rrggbbaa: around contained pictures, and under alpha in JPEG; black when "
                                 "absent, or transparent around what is",
                         .max = 9});
  kind.params.push_back(
      {.name = "without_enlargement", .type = ParamType::kBoolean, .help = "never scale up", .fallback = false});
  kind.params.push_back(
      {.name = "auto_orient", .type = ParamType::kBoolean, .help = "turn upright as EXIF says", .fallback = true});
  kind.params.push_back({.name = "max_input_pixels",
                         .type = ParamType::kInteger,
                         .help = "larger pictures are refused from their header",
                         .fallback = kInputPixelsDefault,
                         .min = 1,
                         .max = kInputPixelsMax});
  return kind;
}

sdk::Module describe_module() {
  sdk::Module module;
  module.name = "image";
  module.kinds.push_back(resize_kind());
  module.preload = preload;
  return module;
}

}  // namespace

QUERN_JOB_MODULE(describe_module)
